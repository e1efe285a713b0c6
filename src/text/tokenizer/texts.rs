//! Many short texts in one block of memory: a vocabulary's tokens and merges are some 400,000, and a `String` for each costs an allocation when it
//! is read and a miss of the cache whenever it is compared.

/// A list of texts that only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    joined: String,
    /// Where each text ends in `joined`.
    ends: Vec<usize>,
}

impl Texts {
    pub fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(self.joined.len());
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        Some(&self.joined[start..end])
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<S: AsRef<str>> Extend<S> for Texts {
    fn extend<I: IntoIterator<Item = S>>(&mut self, texts: I) {
        let texts = texts.into_iter();
        self.ends.reserve(texts.size_hint().0);
        texts.for_each(|text| self.push(text.as_ref()));
    }
}

impl<S: AsRef<str>> FromIterator<S> for Texts {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Texts {
        let mut list = Texts::default();
        list.extend(texts);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in() {
        let texts = ["a", "", "é🦙", ""];
        let list: Texts = texts.iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), texts);
        assert_eq!((list.len(), list.get(2), list.get(4)), (4, Some("é🦙"), None));
        assert!(Texts::default().is_empty() && Texts::default().get(0).is_none());
    }
}
