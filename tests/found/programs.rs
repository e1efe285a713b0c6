//! Programs of the earlier implementation.
