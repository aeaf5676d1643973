//! Bounded waits that say what they waited for.
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at: fine enough to catch the moment between a hold and its commit, coarse enough to leave
/// two cores to the run.
const EVERY: Duration = Duration::from_micros(500);

/// Waits until `look` gives something, at most `bound`.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > bound {
            bail!("waited {} s for {what}", bound.as_secs());
        }
        std::thread::sleep(EVERY);
    }
}
