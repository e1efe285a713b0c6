//! Which dispatches must wait for those before them.

/// Buffers used since the last barrier.
pub struct Hazards<T> {
    read: Vec<T>,
    written: Vec<T>,
}

impl<T: PartialEq> Hazards<T> {
    pub fn new() -> Self {
        Hazards { read: Vec::new(), written: Vec::new() }
    }

    /// Adds a dispatch, by the buffers that it uses and whether it may write them. Whether a barrier must come before it: it reads what was
    /// written, or writes what was read or written.
    pub fn wait(&mut self, used: impl Iterator<Item = (T, bool)> + Clone) -> bool {
        let waits = used.clone().any(|(buffer, writes)| self.written.contains(&buffer) || writes && self.read.contains(&buffer));
        if waits {
            self.read.clear();
            self.written.clear();
        }
        for (buffer, writes) in used {
            if writes { self.written.push(buffer) } else { self.read.push(buffer) }
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_waited_for_and_what_was_read_before_it_is_written() {
        let mut hazards = Hazards::new();
        let mut wait = |read: &[char], written: &[char]| {
            let used: Vec<(char, bool)> = read.iter().map(|&b| (b, false)).chain(written.iter().map(|&b| (b, true))).collect();
            hazards.wait(used.into_iter())
        };
        assert!(!wait(&['w', 'x'], &['y']), "nothing came before");
        assert!(!wait(&['w', 'x'], &['z']), "both read alone");
        assert!(wait(&['y'], &['u']), "read after write");
        assert!(!wait(&['y', 'z'], &['v']), "written before the last barrier");
        assert!(wait(&[], &['y']), "write after read");
        assert!(wait(&['w'], &['y']), "write after write");
        assert!(!wait(&['w', 'u', 'v'], &[]), "the barriers came since");
    }
}
