//! Why a file is no model that can run.

/// What is wrong with a model's file, or with the program that is to run it. Messages that concern one file of several begin with its path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error("metadata `{0}` is missing")]
    MissingKey(String),
    #[error("tensor `{0}` is missing")]
    MissingTensor(String),
    /// Metadata that no model has, or that contradict each other or the tensors.
    #[error("{0}")]
    BadMetadata(String),
    /// A file that goes with a model and is none: an adapter, a projector, a vocabulary.
    #[error("{0}")]
    OtherKind(String),
    /// A model that no built-in program computes: an unknown architecture, a mixture of experts.
    #[error("{0}")]
    Unsupported(String),
    /// Tensors that the program neither uses nor names as not needed: the file is of another model than the program's.
    #[error("{message}")]
    UnusedTensors { names: Vec<String>, message: String },
    /// A model that is to draft for another one and has other tokens.
    #[error("{0}")]
    OtherVocabulary(String),
    /// The program does not fit the file, or cannot be read.
    #[error("{0}")]
    Program(String),
}
