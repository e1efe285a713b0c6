//! How values of flags are read. What is wrong with one is said in the words of the flag, not of a parser of numbers.

use std::str::FromStr;

use tensorlogic::model::DRAFT_MAX;

/// A whole number from 0 on.
pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| match text.parse::<i128>() {
        Ok(number) if number >= 0 => "that is more than there can be".to_owned(),
        _ => "a whole number from 0 on is needed; leave the flag out for the default".to_owned(),
    })
}

/// A whole number from 1 on.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match whole(text)? {
        0 => Err("at least 1 is needed; leave the flag out for the default".to_owned()),
        number => Ok(number),
    }
}

/// Tokens drafted at a time.
pub fn drafted(text: &str) -> Result<usize, String> {
    match whole(text)? {
        n @ 1..=DRAFT_MAX => Ok(n),
        _ => Err(format!("1 to {DRAFT_MAX} is needed: rows of a run up to which each has the bits that it has alone, but one")),
    }
}

/// A seed of random numbers.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is needed; leave --seed out for a random one", u64::MAX))
}

/// One of a list of token ids.
pub fn token(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| "token ids are whole numbers from 0 on, as `tl tokenize MODEL TEXT --ids` prints them".to_owned())
}
