//! The end of a process's log, for the report of its failure. Must not know processes.

/// Bytes kept: what an exit report may carry.
pub(super) const KEPT: usize = 8 * 1024;

/// The last [`KEPT`] bytes of what was pushed.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// The process said that it trained.
    pub progressed: bool,
}

impl Tail {
    /// Adds a line.
    pub fn push(&mut self, line: &[u8]) {
        // The worker's own event: see worker::progress.
        self.progressed |= line.starts_with(br#"{"event":"firstStep""#);
        self.bytes.extend_from_slice(line);
        // Cut seldom, so that a long log costs nothing.
        if self.bytes.len() > 4 * KEPT {
            self.bytes.drain(..self.bytes.len() - KEPT);
        }
    }

    /// The end, from the beginning of a line where one begins within it.
    pub fn text(&self) -> String {
        let start = self.bytes.len().saturating_sub(KEPT);
        let mut end = &self.bytes[start..];
        if start > 0
            && let Some(n) = end.iter().position(|b| *b == b'\n')
            && n + 1 < end.len()
        {
            end = &end[n + 1..];
        }
        let mut text = String::from_utf8_lossy(end).into_owned();
        // Replacement characters are longer than what they replace.
        while text.len() > KEPT {
            text.pop();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_whole_lines_of_the_end() {
        let mut t = Tail::default();
        for n in 0..10_000 {
            t.push(format!("line {n}\n").as_bytes());
        }
        let text = t.text();
        assert!(text.len() <= KEPT && text.ends_with("line 9999\n") && text.starts_with("line "));
        assert!(!t.progressed);
        t.push(b"{\"event\":\"firstStep\",\"ms\":1}\n");
        assert!(t.progressed);
    }

    #[test]
    fn bytes_that_are_no_text_stay_within_the_bound() {
        let mut t = Tail::default();
        t.push(&vec![0xff; 3 * KEPT]);
        assert!(t.text().len() <= KEPT);
    }
}
