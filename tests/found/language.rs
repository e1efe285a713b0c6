//! What programs of the language are told when they go wrong.
