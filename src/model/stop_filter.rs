//! Ends an answer at a text, where a vocabulary has no token for it.

/// Passes text through until one of its stops appears; what could be the beginning of one is held back.
pub struct StopFilter {
    stops: Vec<String>,
    pending: String,
    stopped: bool,
}

impl StopFilter {
    pub fn new(stops: Vec<String>) -> Self {
        StopFilter { stops, pending: String::new(), stopped: false }
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The text that can be shown after `piece`.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.pending.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|s| self.pending.find(s.as_str())).min() {
            self.stopped = true;
            self.pending.truncate(at);
            return std::mem::take(&mut self.pending);
        }
        let held = self.stops.iter().map(|s| overlap(&self.pending, s)).max().unwrap_or(0);
        let rest = self.pending.split_off(self.pending.len() - held);
        std::mem::replace(&mut self.pending, rest)
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.pending)
    }
}

/// The length of the longest end of `text` that a proper beginning of `stop` is.
fn overlap(text: &str, stop: &str) -> usize {
    (1..stop.len()).rev().find(|&len| stop.is_char_boundary(len) && text.ends_with(&stop[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_comes_in_pieces_is_never_shown() {
        let mut filter = StopFilter::new(vec!["###".into(), "User:".into()]);
        let shown: String = ["ab#", "#c", " Us", "er", ": x", "more"].iter().map(|p| filter.push(p)).collect();
        assert_eq!((shown.as_str(), filter.is_stopped()), ("ab##c ", true));
    }

    #[test]
    fn text_without_a_stop_comes_whole() {
        let mut filter = StopFilter::new(vec!["<|end|>".into()]);
        let shown: String = ["a <", "b <|en"].iter().map(|p| filter.push(p)).collect();
        assert_eq!(shown + &filter.finish(), "a <b <|en");
    }
}
