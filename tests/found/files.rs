//! Model files that hold more than a program reads, and files that are no model.
