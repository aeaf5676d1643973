//! How long a run takes to train again after something was done to it, by phase. Must not know what was done.

use crate::audit::Books;
use crate::run::Run;
use anyhow::{Context, Result};
use coalition_cluster::wait;
use coalition_crds::gang::PodPhase;
use std::fmt;
use std::time::{Duration, Instant};

/// How long any phase is waited for: many times every bar, so that a miss is a number and not a hang.
const BOUND: Duration = Duration::from_mins(2);

/// What is looked at, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    attempt: i64,
    disturbed: bool,
    births: i64,
    running: usize,
    round: u64,
}

impl Watched {
    fn of(books: &Books) -> Self {
        let status = books.gang();
        let pods = &status.pods;
        Self {
            attempt: status.attempt,
            disturbed: status.forming || !status.gone.is_empty(),
            births: pods.iter().map(|pod| pod.birth).sum(),
            running: pods.iter().filter(|pod| pod.phase == PodPhase::Running).count(),
            round: books.round(),
        }
    }
}

/// Times since the fault began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The site saw that something is wrong.
    pub noticed: Duration,
    /// All workers' pods run again, one of them at least a new one; none if no pod was replaced.
    pub replaced: Option<Duration>,
    /// All workers met again, at a higher attempt.
    pub formed: Duration,
    /// A round was committed after that.
    pub committed: Duration,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        write!(f, "noticed {}, ", seconds(self.noticed))?;
        if let Some(replaced) = self.replaced {
            write!(f, "pods run {}, ", seconds(replaced))?;
        }
        write!(f, "formed {}, committed {}", seconds(self.formed), seconds(self.committed))
    }
}

impl Run<'_> {
    /// Does `fault` and times how the run comes back from it.
    pub fn recovery(&self, what: &str, fault: impl FnOnce() -> Result<()>) -> Result<Recovery> {
        let before = self.look();
        let start = Instant::now();
        fault()?;
        let (mut noticed, mut replaced, mut formed) = (None, None, None);
        let committed = wait::until(&format!("the next commit after {what}"), BOUND, || {
            let now = self.look();
            let at = start.elapsed();
            let reborn = now.births > before.births;
            if now.disturbed || reborn || now.attempt > before.attempt {
                noticed.get_or_insert(at);
            }
            if reborn && now.running >= before.running {
                replaced.get_or_insert(at);
            }
            if now.attempt > before.attempt {
                formed.get_or_insert((at, now.round));
            }
            // What was under way before the fault may still be committed; it is no sign of life.
            Ok(formed.filter(|(_, round)| now.round > *round).map(|_| at))
        })
        .with_context(|| format!("noticed {noticed:?}, replaced {replaced:?}, formed {formed:?}"))
        .with_context(|| self.at().said())?;
        let (formed, _) = formed.context("committed without a gang")?;
        Ok(Recovery { noticed: noticed.unwrap_or(formed), replaced, formed, committed })
    }

    fn look(&self) -> Watched {
        self.seen(Watched::of)
    }
}
