//! What `tl trace` blames when a model or a program is wrong.
