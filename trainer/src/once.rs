//! Warnings of loops: what is found again and again is said once, and again only when it is something else. Must not know
//! what is said.

/// What one loop said last.
#[derive(Debug, Default)]
pub struct Once(String);

impl Once {
    /// Warns, unless exactly this was said last. An empty line says nothing and forgets: what comes back later is news.
    pub fn warn(&mut self, line: String) {
        if self.is_news(line) {
            tracing::warn!("{}", self.0);
        }
    }

    fn is_news(&mut self, line: String) -> bool {
        let news = !line.is_empty() && line != self.0;
        self.0 = line;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_news() {
        let mut once = Once::default();
        let said: Vec<bool> = ["", "a", "a", "b", "a", "", "a"].map(|l| once.is_news(l.to_owned())).into();
        assert_eq!(said, [false, true, false, true, true, false, true]);
    }
}
