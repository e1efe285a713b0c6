//! Numbers of the language.
