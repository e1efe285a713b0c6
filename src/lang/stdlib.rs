//! The library's files that are written in the language.

/// Files whose names every program sees.
pub const PRELUDE: &[(&str, &str)] = &[
    ("nn", include_str!("std/nn.tl")),
    ("experts", include_str!("std/experts.tl")),
    ("sampling", include_str!("std/sampling.tl")),
    ("earlier", include_str!("std/earlier.tl")),
];

/// The text of a module of the library.
pub fn find(name: &str) -> Option<&'static str> {
    PRELUDE.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// The modules of the library.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRELUDE.iter().map(|(n, _)| *n)
}
