//! How the next token is chosen: the parameters, their defaults, and where they come from.

use thiserror::Error;

/// Applied in this order: repeat penalty, top-k, top-p, min-p, temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits before the softmax. 0 takes the largest logit, the lowest id on a tie.
    pub temperature: f32,
    /// How many of the largest logits stay; 0 keeps all.
    pub top_k: u32,
    /// The smallest set of tokens with at least this probability stays (nucleus sampling, Holtzman et al. 2019); 1 keeps all.
    pub top_p: f32,
    /// Tokens stay whose probability is at least this share of the largest; 0 keeps all.
    pub min_p: f32,
    /// Logits of recent tokens are divided by this where positive and multiplied where negative (Keskar et al. 2019); 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many of the last ids, the prompt's included, count as recent.
    pub repeat_last_n: u32,
    /// Of the counter-based generator. `None`: the caller takes one from the clock.
    pub seed: Option<u64>,
}

impl Default for SamplingParams {
    fn default() -> SamplingParams {
        SamplingParams { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, repeat_penalty: 1.0, repeat_last_n: 64, seed: None }
    }
}

/// Parameters of which some are given: by flags, or by a file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SamplingOverrides {
    pub temperature: Option<f32>,
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repeat_penalty: Option<f32>,
    pub repeat_last_n: Option<u32>,
    pub seed: Option<u64>,
}

#[derive(Debug, Error, PartialEq)]
pub enum SamplingError {
    #[error("--{name} is {found}, but must be {expected}")]
    Flag { name: &'static str, found: f64, expected: &'static str },
    #[error("the file's `general.sampling.{key}` is {found}, but must be {expected}; give --{flag} instead")]
    Metadata { key: &'static str, flag: &'static str, found: f64, expected: &'static str },
}

impl SamplingError {
    /// The same of an argument of the language, which has no dashes.
    pub fn of_argument(&self) -> String {
        match self {
            SamplingError::Flag { name, found, expected } => format!("`{}` is {found}, but must be {expected}", name.replace('-', "_")),
            other => other.to_string(),
        }
    }
}

/// A parameter's flag, its key in a file behind `general.sampling.`, and the values it may have.
struct Rule {
    flag: &'static str,
    key: &'static str,
    expected: &'static str,
    holds: fn(f64) -> bool,
}

const TEMPERATURE: Rule =
    Rule { flag: "temperature", key: "temp", expected: "a number from 0 to 100", holds: |v| (0.0..=100.0).contains(&v) };
const TOP_K: Rule = Rule { flag: "top-k", key: "top_k", expected: "a whole number from 0, which keeps all", holds: is_count };
const TOP_P: Rule = Rule { flag: "top-p", key: "top_p", expected: "above 0 and at most 1", holds: |v| v > 0.0 && v <= 1.0 };
const MIN_P: Rule = Rule { flag: "min-p", key: "min_p", expected: "at least 0 and at most 1", holds: |v| (0.0..=1.0).contains(&v) };
const REPEAT_PENALTY: Rule =
    Rule { flag: "repeat-penalty", key: "penalty_repeat", expected: "above 0 and at most 10", holds: |v| v > 0.0 && v <= 10.0 };
const REPEAT_LAST_N: Rule = Rule { flag: "repeat-last-n", key: "penalty_last_n", expected: "a whole number from 0", holds: is_count };

fn is_count(value: f64) -> bool {
    value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value)
}

impl SamplingParams {
    /// Flags win over the file, the file over the defaults.
    pub fn merge(flags: &SamplingOverrides, file: &SamplingOverrides) -> Result<SamplingParams, SamplingError> {
        flags.check()?;
        let default = SamplingParams::default();
        Ok(SamplingParams {
            temperature: flags.temperature.or(file.temperature).unwrap_or(default.temperature),
            top_k: flags.top_k.or(file.top_k).unwrap_or(default.top_k),
            top_p: flags.top_p.or(file.top_p).unwrap_or(default.top_p),
            min_p: flags.min_p.or(file.min_p).unwrap_or(default.min_p),
            repeat_penalty: flags.repeat_penalty.or(file.repeat_penalty).unwrap_or(default.repeat_penalty),
            repeat_last_n: flags.repeat_last_n.or(file.repeat_last_n).unwrap_or(default.repeat_last_n),
            seed: flags.seed.or(file.seed),
        })
    }

    /// Whether the largest logit is taken, so that no seed matters.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

impl SamplingOverrides {
    /// What a file says. `number` gives the value of a key behind `general.sampling.`, such as `temp`.
    ///
    /// A negative `top_k` or `penalty_last_n` asks for all, as in llama.cpp.
    pub fn from_file(number: impl Fn(&str) -> Option<f64>) -> Result<SamplingOverrides, SamplingError> {
        let value = |rule: &Rule| match number(rule.key) {
            Some(found) if !(rule.holds)(found) => {
                Err(SamplingError::Metadata { key: rule.key, flag: rule.flag, found, expected: rule.expected })
            }
            value => Ok(value),
        };
        let count = |rule: &Rule, all: u32| match number(rule.key) {
            Some(found) if found < 0.0 && found.fract() == 0.0 => Ok(Some(all)),
            _ => Ok(value(rule)?.map(|v| v as u32)),
        };
        Ok(SamplingOverrides {
            temperature: value(&TEMPERATURE)?.map(|v| v as f32),
            top_k: count(&TOP_K, 0)?,
            top_p: value(&TOP_P)?.map(|v| v as f32),
            min_p: value(&MIN_P)?.map(|v| v as f32),
            repeat_penalty: value(&REPEAT_PENALTY)?.map(|v| v as f32),
            repeat_last_n: count(&REPEAT_LAST_N, u32::MAX)?,
            seed: None,
        })
    }

    fn check(&self) -> Result<(), SamplingError> {
        let given = [(self.temperature, TEMPERATURE), (self.top_p, TOP_P), (self.min_p, MIN_P), (self.repeat_penalty, REPEAT_PENALTY)];
        for (value, rule) in given {
            if let Some(found) = value.map(f64::from).filter(|&v| !(rule.holds)(v)) {
                return Err(SamplingError::Flag { name: rule.flag, found, expected: rule.expected });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(values: &[(&str, f64)]) -> Result<SamplingOverrides, SamplingError> {
        SamplingOverrides::from_file(|key| values.iter().find(|(k, _)| *k == key).map(|&(_, v)| v))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let file = file(&[("temp", 0.5), ("top_k", 20.0), ("min_p", 0.0), ("penalty_repeat", 1.5)]).expect("good values");
        let flags = SamplingOverrides { temperature: Some(0.0), seed: Some(7), ..SamplingOverrides::default() };
        let params = SamplingParams::merge(&flags, &file).expect("good values");
        let expected =
            SamplingParams { temperature: 0.0, top_k: 20, min_p: 0.0, repeat_penalty: 1.5, seed: Some(7), ..SamplingParams::default() };
        assert_eq!(params, expected);
        assert!(params.is_greedy() && !SamplingParams::default().is_greedy());
    }

    #[test]
    fn defaults_are_as_documented() {
        let params = SamplingParams::merge(&SamplingOverrides::default(), &SamplingOverrides::default()).expect("defaults");
        assert_eq!((params.temperature, params.top_k, params.top_p, params.min_p), (0.8, 40, 0.95, 0.05));
        assert_eq!((params.repeat_penalty, params.repeat_last_n, params.seed), (1.0, 64, None));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let flags = |flags: SamplingOverrides| SamplingParams::merge(&flags, &SamplingOverrides::default()).map_err(|e| e.to_string());
        let none = SamplingOverrides::default();
        let error = flags(SamplingOverrides { temperature: Some(-1.0), ..none });
        assert_eq!(error, Err("--temperature is -1, but must be a number from 0 to 100".to_string()));
        assert!(flags(SamplingOverrides { temperature: Some(f32::NAN), ..none }).is_err());
        assert!(flags(SamplingOverrides { top_p: Some(0.0), ..none }).is_err());
        assert!(flags(SamplingOverrides { min_p: Some(1.5), ..none }).is_err());
        assert!(flags(SamplingOverrides { repeat_penalty: Some(f32::INFINITY), ..none }).is_err());
        let error = file(&[("top_k", 2.5)]).expect_err("no whole number").to_string();
        assert!(error.contains("`general.sampling.top_k` is 2.5") && error.ends_with("give --top-k instead"), "{error}");
        assert!(file(&[("temp", f64::NAN)]).is_err());
        assert_eq!(file(&[("top_k", -1.0), ("penalty_last_n", -1.0)]).map(|f| (f.top_k, f.repeat_last_n)), Ok((Some(0), Some(u32::MAX))));
    }
}
