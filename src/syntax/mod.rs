//! The front end: text to tree. Never fails, never panics; every error of a file is reported.

pub mod ast;
