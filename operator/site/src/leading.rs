//! Whether this replica leads, for those who answer requests at any time. Must not know how that comes about.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// True while this replica leads.
#[derive(Clone, Debug, Default)]
pub struct Leading(Arc<AtomicBool>);

impl Leading {
    /// True while this replica leads.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// It leads until what is returned is dropped.
    pub fn begin(&self) -> Term {
        self.0.store(true, Ordering::Release);
        Term(self.clone())
    }
}

/// A time in which this replica leads.
#[derive(Debug)]
pub struct Term(Leading);

impl Drop for Term {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}
