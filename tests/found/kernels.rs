//! What kernels make of NaN, of long inputs and of tensors over a limit.
