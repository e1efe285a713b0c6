//! Choices that can be switched off by name, so that what each gives is held against what runs without it.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A kind of named choices: the rules of the planner, the variants of a backend's kernels.
pub trait Choice: Copy + Eq + 'static {
    /// What an error calls one.
    const KIND: &'static str;
    /// At most 32.
    const ALL: &'static [Self];

    fn name(self) -> &'static str;
}

/// An enum of choices, each with its name.
macro_rules! choices {
    ($(#[$meta:meta])* pub enum $choice:ident ($kind:literal) { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $choice { $($(#[$doc])* $variant,)* }

        impl $crate::plan::Choice for $choice {
            const KIND: &'static str = $kind;
            const ALL: &'static [Self] = &[$($choice::$variant,)*];

            fn name(self) -> &'static str {
                match self { $($choice::$variant => $name,)* }
            }
        }
    };
}
pub(crate) use choices;

/// The choices of a kind that are switched off. As text `-a,-b`; `-all` is every one, and a name without `-` puts it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Off<T> {
    /// By index in `T::ALL`.
    bits: u32,
    kind: PhantomData<T>,
}

impl<T> Off<T> {
    pub const NONE: Self = Off { bits: 0, kind: PhantomData };
}

impl<T> Default for Off<T> {
    fn default() -> Self {
        Off::NONE
    }
}

impl<T: Choice> Off<T> {
    pub fn all() -> Self {
        Off::of(T::ALL)
    }

    pub fn of(choices: &[T]) -> Self {
        Off { bits: choices.iter().fold(0, |bits, &choice| bits | bit(choice)), kind: PhantomData }
    }

    pub fn has(self, choice: T) -> bool {
        self.bits & bit(choice) != 0
    }
}

fn bit<T: Choice>(choice: T) -> u32 {
    T::ALL.iter().position(|&c| c == choice).map_or(0, |i| 1 << i)
}

impl<T: Choice> FromStr for Off<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut off = Off::NONE;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let name = word.strip_prefix('-').unwrap_or(word);
            let named: Vec<T> = T::ALL.iter().copied().filter(|c| name == "all" || name == c.name()).collect();
            if named.is_empty() {
                let names: Vec<&str> = T::ALL.iter().map(|c| c.name()).collect();
                return Err(format!("no {} is called `{name}`: take -all, or some of -{}", T::KIND, names.join(", -")));
            }
            let bits = Off::of(&named).bits;
            off.bits = if word == name { off.bits & !bits } else { off.bits | bits };
        }
        Ok(off)
    }
}

impl<T: Choice> fmt::Display for Off<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Off::all() {
            return f.write_str("-all");
        }
        let names: Vec<String> = T::ALL.iter().filter(|&&c| self.has(c)).map(|c| format!("-{}", c.name())).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    #[test]
    fn a_set_reads_as_it_is_written() {
        for text in ["", "-norm_in_linear", "-merge_linears,-norm_in_linear"] {
            assert_eq!(text.parse::<Off<Rule>>().map(|off| off.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("-all".parse(), Ok(Off::<Rule>::all()));
        let but_one: Off<Rule> = "-all, merge_linears".parse().unwrap();
        assert_eq!(Rule::ALL.iter().filter(|&&rule| !but_one.has(rule)).collect::<Vec<_>>(), [&Rule::MergeLinears]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = "-norm".parse::<Off<Rule>>().unwrap_err();
        assert!(error.starts_with("no rule is called `norm`") && error.contains("-norm_in_linear"), "{error}");
    }

    #[test]
    fn every_rule_has_a_bit_and_a_name_of_its_own() {
        let mut names: Vec<&str> = Rule::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(Rule::ALL.iter().fold(0, |bits, &r| bits | bit(r)).count_ones() as usize, names.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Rule::ALL.len());
    }
}
