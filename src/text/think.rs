//! The thinking part of an answer, `<think>…</think>`, told apart from the answer itself.

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerPart {
    /// The marks themselves are left out.
    Thinking(String),
    Answer(String),
}

const MARKS: [(&str, &str); 3] = [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>")];

/// Splits an answer as it streams in. Text that could be the beginning of a mark is held back until it is known.
#[derive(Clone, Debug, Default)]
pub struct ThinkFilter {
    /// The mark that ends the thinking that is going on.
    close: Option<&'static str>,
    pending: String,
    /// White space around the marks belongs to neither part.
    skips_space: bool,
}

impl ThinkFilter {
    /// For an answer to `prompt`, whose end may have opened the thinking already.
    pub fn after(prompt: &str) -> ThinkFilter {
        let close = MARKS.iter().find(|(open, _)| prompt.trim_end().ends_with(open)).map(|&(_, close)| close);
        ThinkFilter { close, pending: String::new(), skips_space: close.is_some() }
    }

    pub fn is_thinking(&self) -> bool {
        self.close.is_some()
    }

    /// The parts that `text` completes, in order; neighbours are of different kinds.
    pub fn push(&mut self, text: &str) -> Vec<AnswerPart> {
        self.pending.push_str(text);
        let mut parts = Vec::new();
        loop {
            let marks: Vec<(&str, Option<&'static str>)> = match self.close {
                Some(close) => vec![(close, None)],
                None => MARKS.iter().map(|&(open, close)| (open, Some(close))).collect(),
            };
            let found = marks.iter().filter_map(|&(mark, next)| Some((self.pending.find(mark)?, mark, next))).min_by_key(|&(at, ..)| at);
            let Some((at, mark, next)) = found else {
                let held = marks.iter().map(|(mark, _)| overlap(&self.pending, mark)).max().unwrap_or(0);
                let rest = self.pending.split_off(self.pending.len() - held);
                let free = std::mem::replace(&mut self.pending, rest);
                self.emit(&free, &mut parts);
                return parts;
            };
            let rest = self.pending.split_off(at + mark.len());
            let before = std::mem::replace(&mut self.pending, rest);
            let before = before[..at].to_string();
            self.emit(if self.close.is_some() { before.trim_end() } else { &before }, &mut parts);
            self.close = next;
            self.skips_space = true;
        }
    }

    /// What was held back, at the end of the answer.
    pub fn finish(&mut self) -> Option<AnswerPart> {
        let mut parts = Vec::new();
        let rest = std::mem::take(&mut self.pending);
        self.emit(&rest, &mut parts);
        parts.pop()
    }

    fn emit(&mut self, text: &str, parts: &mut Vec<AnswerPart>) {
        let text = if self.skips_space { text.trim_start() } else { text };
        if text.is_empty() {
            return;
        }
        self.skips_space = false;
        let thinking = self.close.is_some();
        match parts.last_mut() {
            Some(AnswerPart::Thinking(last)) if thinking => last.push_str(text),
            Some(AnswerPart::Answer(last)) if !thinking => last.push_str(text),
            _ if thinking => parts.push(AnswerPart::Thinking(text.to_string())),
            _ => parts.push(AnswerPart::Answer(text.to_string())),
        }
    }
}

/// The length of the longest end of `text` that is a beginning of `mark`.
fn overlap(text: &str, mark: &str) -> usize {
    (1..mark.len()).rev().find(|&len| mark.is_char_boundary(len) && text.ends_with(&mark[..len])).unwrap_or(0)
}

/// The answer without its thinking: what templates that drop it keep of earlier answers. Thinking that never ended is all there is, and nothing
/// stays.
pub fn without_thinking(answer: &str) -> &str {
    for (open, close) in MARKS {
        if let Some(end) = answer.rfind(close) {
            return answer[end + close.len()..].trim_start();
        }
        if answer.trim_start().starts_with(open) {
            return "";
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(filter: &mut ThinkFilter, pieces: &[&str]) -> (String, String) {
        let mut parts: Vec<AnswerPart> = pieces.iter().flat_map(|piece| filter.push(piece)).collect();
        parts.extend(filter.finish());
        let (mut thinking, mut answer) = (String::new(), String::new());
        for part in parts {
            match part {
                AnswerPart::Thinking(text) => thinking.push_str(&text),
                AnswerPart::Answer(text) => answer.push_str(&text),
            }
        }
        (thinking, answer)
    }

    #[test]
    fn marks_are_found_however_they_are_cut() {
        let text = "<think>\nhm < é\n</think>\n\nso <b> it </think> is";
        for cut in 1..6 {
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(cut).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (thinking, answer) = split(&mut ThinkFilter::default(), &pieces);
            assert_eq!(thinking.trim_end(), "hm < é", "{cut}");
            assert_eq!(answer, "so <b> it </think> is", "{cut}");
        }
    }

    #[test]
    fn a_prompt_can_open_the_thinking() {
        let mut filter = ThinkFilter::after("<|Assistant|><think>\n");
        assert!(filter.is_thinking());
        assert_eq!(split(&mut filter, &["a", "</think>", "b"]), ("a".to_string(), "b".to_string()));
        assert!(!filter.is_thinking());
        assert!(!ThinkFilter::after("<think>\n\n</think>\n\n").is_thinking());
    }

    #[test]
    fn what_only_looks_like_a_mark_is_text() {
        assert_eq!(split(&mut ThinkFilter::default(), &["a <thi", "s> <think"]), (String::new(), "a <this> <think".to_string()));
        assert_eq!(ThinkFilter::default().push("abc"), [AnswerPart::Answer("abc".to_string())]);
    }

    #[test]
    fn thinking_is_dropped_from_history() {
        assert_eq!(without_thinking("<think>a</think>\n\nb"), "b");
        assert_eq!(without_thinking("a</think>b"), "b");
        assert_eq!(without_thinking("<think>never ended"), "");
        assert_eq!(without_thinking("plain"), "plain");
        assert_eq!(without_thinking("[THINK]a[/THINK]b"), "b");
    }
}
