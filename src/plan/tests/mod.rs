//! Plans of whole graphs: that they are sound, what they hold, and that they compute what the graphs say.

mod block;
mod coverage;
mod interpreter;
mod models;
mod random_graphs;
mod rules;
mod snapshot;
mod soundness;
mod tokens;
