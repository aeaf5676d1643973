//! Bounded waits that say what they waited for and how long. Must not know what is waited for.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often a condition is looked at: well below the shortest time anybody measures with this harness (0.1 s, containerd's
/// start), and rare enough to leave two cores to what is waited for.
const EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` gives something, at most `bound`. An error of `look` ends the wait: it means that waiting is vain.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > bound {
            bail!("waited {:.0} s in vain for {what}", bound.as_secs_f64());
        }
        std::thread::sleep(EVERY);
    }
}

/// The same for conditions that an asynchronous client looks at. A look that hangs is cut off at the bound too.
pub async fn until_async<T, F>(what: &str, bound: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let search = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    match tokio::time::timeout(bound, search).await {
        Ok(found) => found,
        Err(_) => bail!("waited {:.0} s in vain for {what}", bound.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_what_it_waited_for() {
        let mut looks = 0;
        let found = until("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), 3);
        let vain = until::<()>("nothing", Duration::ZERO, || Ok(None)).unwrap_err().to_string();
        assert!(vain.contains("in vain for nothing"), "{vain}");
        assert!(until::<()>("x", Duration::from_mins(1), || bail!("it broke")).is_err(), "an error ends the wait");
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off() {
        let vain = until_async::<(), _>("an answer", Duration::from_millis(50), std::future::pending).await;
        assert!(vain.unwrap_err().to_string().contains("in vain for an answer"));
    }
}
