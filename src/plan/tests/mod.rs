//! Plans of whole graphs: that they are sound, what they hold, and that they compute what the graphs say.

mod coverage;
mod interpreter;
