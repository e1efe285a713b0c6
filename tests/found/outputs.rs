//! Files that commands write, and what they refuse to overwrite.
