//! Programs of models that depend on the position, on the token count, or hold tensors of their own.
