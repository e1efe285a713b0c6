//! What a long life, a signal or a bad input does to the process.
