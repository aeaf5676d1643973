//! What fails and is tried again is said once, and not with every try. Must not know what it is, nor how loudly it is said.
use std::collections::BTreeSet;
use std::fmt::Display;

/// Texts that are kept: more of them at a time are no repetition, so all count as new again.
const MOST: usize = 64;

/// What was said since all was well.
#[derive(Debug, Default)]
pub struct Said(BTreeSet<String>);

impl Said {
    /// True if this was not said since all was well; from now on it was.
    pub fn is_news(&mut self, what: &impl Display) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(what.to_string())
    }

    /// All is well: whatever comes next is news. True if anything had been said.
    pub fn forget(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_until_all_is_well() {
        let mut said = Said::default();
        assert!(!said.forget(), "nothing was said");
        assert!(said.is_news(&"refused") && said.is_news(&"away"));
        assert!(!said.is_news(&"refused") && !said.is_news(&"away"));
        assert!(said.forget());
        assert!(said.is_news(&"refused"), "it is another time");
    }

    #[test]
    fn texts_that_never_repeat_do_not_pile_up() {
        let mut said = Said::default();
        assert!((0..1000).all(|n| said.is_news(&n)));
        assert!(said.0.len() <= MOST);
    }
}
