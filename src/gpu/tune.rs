//! `tl bench --tune`: measures the shapes of matrix-vector kernels in a real step, and keeps the best for this adapter and driver.

use std::collections::BTreeMap;
use std::time::Duration;

use super::device::Gpu;
use super::disk;
use super::tuning::MatvecTuning;

const FILE_ENDING: &str = "tuning.json";

/// A shape must beat the default by this much: less is noise.
pub const LEAST_GAIN: f64 = 0.02;

/// The times of one kind of work under each shape that was tried.
#[derive(Default)]
pub struct Measured {
    by_work: BTreeMap<String, Vec<(Option<MatvecTuning>, Duration)>>,
}

/// The outcome for one kind of work.
pub struct Choice {
    /// `q4_0 2048x5632 store`
    pub work: String,
    pub default: Duration,
    pub best: Duration,
    /// None: the default stays.
    pub chosen: Option<MatvecTuning>,
}

impl Measured {
    /// The time of all dispatches of one kind of work in a step; `None` is the default shape.
    pub fn add(&mut self, work: &str, shape: Option<MatvecTuning>, time: Duration) {
        self.by_work.entry(work.to_owned()).or_default().push((shape, time));
    }

    pub fn choices(&self) -> Vec<Choice> {
        let choice = |(work, times): (&String, &Vec<(Option<MatvecTuning>, Duration)>)| {
            let default = times.iter().find(|(shape, _)| shape.is_none())?.1;
            let (shape, best) = *times.iter().min_by_key(|(_, time)| *time)?;
            let gains = best.as_secs_f64() < default.as_secs_f64() * (1.0 - LEAST_GAIN);
            Some(Choice { work: work.clone(), default, best: if gains { best } else { default }, chosen: shape.filter(|_| gains) })
        };
        self.by_work.iter().filter_map(choice).collect()
    }
}

/// What was measured on this adapter before. A damaged file counts as none.
pub fn load(gpu: &Gpu) -> BTreeMap<String, MatvecTuning> {
    let read = disk::file_of(gpu, FILE_ENDING).and_then(|path| std::fs::read(path).ok());
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps it for later starts. Returns where, or why not.
pub fn save(gpu: &Gpu, measured: &BTreeMap<String, MatvecTuning>) -> Result<String, String> {
    let path = disk::file_of(gpu, FILE_ENDING).ok_or("there is no folder for caches")?;
    let json = serde_json::to_vec_pretty(measured).map_err(|e| e.to_string())?;
    disk::write(&path, &json).map_err(|e| e.to_string())?;
    Ok(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_kept_only_where_it_gains_more_than_noise() {
        let shape = |rows| MatvecTuning { int8: false, workgroup: 64, lanes: 32, rows, cols: 1, passes: 1 };
        let micros = Duration::from_micros;
        let mut measured = Measured::default();
        for (work, times) in [("faster", [1000, 970, 900]), ("as fast", [1000, 990, 985]), ("slower", [1000, 1100, 1200])] {
            measured.add(work, None, micros(times[0]));
            measured.add(work, Some(shape(1)), micros(times[1]));
            measured.add(work, Some(shape(2)), micros(times[2]));
        }
        measured.add("never measured as it was", Some(shape(1)), micros(1));
        let found: Vec<_> = measured.choices().into_iter().map(|c| (c.work, c.default, c.best, c.chosen.map(|s| s.rows))).collect();
        let same = |work: &str| (work.to_owned(), micros(1000), micros(1000), None);
        assert_eq!(found, [same("as fast"), ("faster".to_owned(), micros(1000), micros(900), Some(2)), same("slower")]);
    }
}
