//! What kind of fault a difference is, in a sentence.

/// Where the fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Other ids were fed than the reference's.
    Tokens,
    /// The reference itself cannot be right, or is stored in another layout.
    Reference,
    /// The program or its weights are not the reference's.
    Program,
    /// The backend does not compute what the program says.
    Backend,
    /// A setting of this run: keys and values in a type that cannot hold them.
    Setting,
    /// No step alone is wrong, errors add up.
    Accumulated,
    /// What lies between was not traced, or could not be computed here.
    Unknown,
}

impl Verdict {
    pub fn describe(self) -> &'static str {
        match self {
            Verdict::Tokens => "the inputs differ: the reference was made with other tokens",
            Verdict::Reference => "the reference is at fault, or is stored in another layout",
            Verdict::Program => "the program, its weights or its metadata are not the reference's; the backend does what they say",
            Verdict::Backend => "the backend is wrong: it does not compute what the program says",
            Verdict::Setting => "a setting of this run is to blame, not the program and not the kernels",
            Verdict::Accumulated => "no step alone is wrong: errors grow from step to step",
            Verdict::Unknown => "it cannot be told from these values what is wrong",
        }
    }
}
