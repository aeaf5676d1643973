//! Who leads, as a pure function of what was read of a Lease and when it was read here. Must not know a client, or another
//! machine's clock: the times that stand in a Lease are for people, nothing is decided by them.
//!
//! The rules are those of client-go's leader election: a Lease that another holder has not renewed for its duration, as
//! observed here, may be taken; every write names the version it replaces, so of two that take it one loses. A leader
//! counts its time from the instant it *sent* the renewal that succeeded, and stops before anybody else may start.
use std::time::Duration;

/// How long a Lease is valid after a renewal, how early its holder gives up, and how often it is renewed.
///
/// 15 s, 10 s and 2 s are the defaults of client-go's leader election, which Kubernetes' own controllers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Others wait so long after the last change they saw.
    pub duration: Duration,
    /// The holder leads so long after it sent the last renewal that succeeded.
    pub deadline: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its resourceVersion.
    pub version: String,
    /// Who holds it; none if it was given back.
    pub holder: Option<String>,
    /// How long its holder asked others to wait.
    pub duration: Duration,
}

/// What this process remembers between two attempts. Instants are milliseconds on its own clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The version read last, and when it was first seen here.
    seen: Option<(String, u64)>,
    /// When the renewal that succeeded last was sent; none while it does not lead.
    renewed: Option<u64>,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// There is no Lease: create it, held by us.
    Create,
    /// It is ours: renew it.
    Renew {
        /// The version to replace.
        version: String,
    },
    /// It is free, or its holder was not heard of for its duration: take it.
    Take {
        /// The version to replace.
        version: String,
    },
    /// Another holds it.
    Nothing,
}

/// What to write, from what was read at `now`; remembers what was read.
pub fn step(memory: &mut Memory, me: &str, read: Option<&Read>, now: u64) -> Write {
    let Some(read) = read else {
        memory.seen = None;
        return Write::Create;
    };
    let since = match &memory.seen {
        Some((version, since)) if *version == read.version => *since,
        _ => {
            memory.seen = Some((read.version.clone(), now));
            now
        }
    };
    let version = read.version.clone();
    match &read.holder {
        Some(holder) if holder == me => Write::Renew { version },
        Some(_) if now.saturating_sub(since) < millis(read.duration) => Write::Nothing,
        _ => Write::Take { version },
    }
}

impl Memory {
    /// A write that was sent at `sent` succeeded.
    pub fn written(&mut self, sent: u64) {
        self.renewed = Some(sent);
    }

    /// It was seen that another holds the Lease: whatever was renewed counts no more.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// Until when this process leads, if it does.
    pub fn leads_until(&self, timing: &Timing) -> Option<u64> {
        self.renewed.map(|sent| sent.saturating_add(millis(timing.deadline)))
    }

    /// True if this process leads at `now`.
    pub fn leads(&self, timing: &Timing, now: u64) -> bool {
        self.leads_until(timing).is_some_and(|until| now < until)
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(version: u64, holder: &str) -> Read {
        Read { version: version.to_string(), holder: Some(holder.to_owned()), duration: Timing::default().duration }
    }

    #[test]
    fn a_lease_is_taken_only_after_its_duration_without_a_change() {
        let mut m = Memory::default();
        assert_eq!(step(&mut m, "b", Some(&held(1, "a")), 0), Write::Nothing);
        assert_eq!(step(&mut m, "b", Some(&held(1, "a")), 14_999), Write::Nothing);
        assert_eq!(step(&mut m, "b", Some(&held(2, "a")), 15_000), Write::Nothing, "it was renewed");
        assert_eq!(step(&mut m, "b", Some(&held(2, "a")), 29_999), Write::Nothing);
        assert_eq!(step(&mut m, "b", Some(&held(2, "a")), 30_000), Write::Take { version: "2".into() });
    }

    #[test]
    fn what_was_given_back_or_is_missing_is_taken_at_once() {
        let mut m = Memory::default();
        assert_eq!(step(&mut m, "b", None, 0), Write::Create);
        let free = Read { holder: None, ..held(7, "") };
        assert_eq!(step(&mut m, "b", Some(&free), 1), Write::Take { version: "7".into() });
        assert_eq!(step(&mut m, "b", Some(&held(8, "b")), 2), Write::Renew { version: "8".into() });
    }

    proptest! {
        /// Two candidates with clocks of their own (any offset, each read and write may fail or be late): never do both
        /// lead at one instant, however the attempts fall.
        #[test]
        fn never_two_leaders(
            offset in 0u64..1_000_000,
            attempts in prop::collection::vec((0u64..2, 100u64..6000, 0u64..4000, prop::bool::weighted(0.7)), 1..200),
        ) {
            let timing = Timing::default();
            let (mut lease, mut version) = (None::<Read>, 0u64);
            let mut all = [Memory::default(), Memory::default()];
            let clock = |who: u64, t: u64| if who == 0 { t } else { t + offset };
            let mut now = 0u64;
            for (who, pause, late, arrives) in attempts {
                now += pause;
                let (name, sent) = (["a", "b"][who as usize], clock(who, now));
                let m = &mut all[who as usize];
                let write = step(m, name, lease.as_ref(), sent);
                // The request is under way for a while; the server compares the version when it arrives.
                let read = lease.as_ref().map(|l| l.version.clone());
                now += late;
                let expected = match &write {
                    Write::Nothing => { m.lost(); None }
                    Write::Create => Some(None),
                    Write::Renew { version } | Write::Take { version } => Some(Some(version.clone())),
                };
                if let Some(expected) = expected
                    && arrives
                    && expected == lease.as_ref().map(|l| l.version.clone())
                    && expected == read
                {
                    version += 1;
                    lease = Some(held(version, name));
                    all[who as usize].written(sent);
                }
                let leaders = (0..2u64).filter(|w| all[*w as usize].leads(&timing, clock(*w, now))).count();
                prop_assert!(leaders < 2, "two leaders at {now}");
            }
        }
    }
}
