//! The small world of the model: records, sites, what the hub was last told. Integers only: a contribution's bits are the
//! number of the training run that made them, positions are bits of a mask, states are sums of what went in.
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A contribution: its name (site, incarnation, plan, log entry), its bits, and the positions it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct C {
    pub site: u8,
    pub inc: u8,
    /// The record of its plan. (In a mutation: the round.)
    pub plan: u8,
    pub content: u8,
    pub used: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rec {
    /// parts: (site, incarnation, leased positions).
    Plan {
        round: u8,
        parts: Vec<(u8, u8, u32)>,
    },
    /// `counted`: members that were heard and could apply it; two of them make it durable at two.
    Outer {
        plan: u8,
        round: u8,
        included: Vec<C>,
        holders: u8,
        counted: u8,
    },
    /// Retired and assigned anew.
    Replace {
        site: u8,
    },
    Void,
}

/// What survives a crash of site's trainer, until the store is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    pub inc: u8,
    /// Commits applied, and the state after them; none before a newcomer has fetched one.
    pub applied: Option<(u8, u64)>,
    /// The site checkpoint at the snapshot: (plan, content, used).
    pub checkpoint: Option<(u8, u8, u32)>,
    /// Positions fed and not yet given.
    pub fed: u32,
    pub held: BTreeSet<C>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// Records read.
    pub read: u8,
    /// The newest incarnation whose store it opened: the hub keeps this.
    pub opened: u8,
    pub store: Option<Store>,
    /// Trained, not saved: (plan, content).
    pub memory: Option<(u8, u8)>,
    /// Training runs so far: no two have the same bits.
    pub runs: u8,
}

/// What the hub was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    pub inc: u8,
    pub lost: bool,
    pub applied: Option<u8>,
    pub offer: Option<C>,
    pub holds: BTreeSet<C>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub records: Vec<Rec>,
    pub sites: Vec<Site>,
    pub told: Vec<Report>,
    /// A paused leader's decision, and the head it was made for.
    pub paused: Option<(u8, Rec)>,
    pub losses: u8,
    pub retirements: u8,
    pub voids: u8,
    pub crashes: u8,
    /// A site found that a record does not hold what it gave.
    pub deceived: bool,
}

/// What follows from the records.
#[derive(Clone, Debug)]
pub struct Fold {
    pub inc: Vec<u8>,
    pub joined: Vec<u8>,
    pub from_round: Vec<u8>,
    pub missed: Vec<u8>,
    /// Open plans: (round, record).
    pub open: Vec<(u8, u8)>,
    /// Records of commits, with round.
    pub commits: Vec<u8>,
    /// (position bit, site, incarnation, plan).
    pub leases: Vec<(u32, u8, u8, u8)>,
    pub free: u32,
    pub next: u8,
}

pub fn digest(before: u64, included: &[C]) -> u64 {
    let mut h = DefaultHasher::new();
    (before, included).hash(&mut h);
    h.finish()
}

impl Fold {
    pub fn of(records: &[Rec], sites: usize, void_returns: bool) -> Self {
        let mut f = Self {
            inc: vec![1; sites],
            joined: vec![0; sites],
            from_round: vec![1; sites],
            missed: vec![0; sites],
            open: Vec::new(),
            commits: Vec::new(),
            leases: Vec::new(),
            free: 0,
            next: 0,
        };
        for (n, r) in records.iter().enumerate() {
            f.apply(n as u8, r, void_returns);
            if let Rec::Outer { plan, included, .. } = r
                && let Some(Rec::Plan { parts, .. }) = records.get(*plan as usize)
            {
                f.omit(*plan, parts, included);
            }
        }
        f
    }

    fn release(&mut self, which: impl Fn(&(u32, u8, u8, u8)) -> bool) {
        let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.leases).into_iter().partition(which);
        self.leases = stay;
        for l in gone {
            self.free |= l.0;
        }
    }

    fn apply(&mut self, n: u8, r: &Rec, void_returns: bool) {
        match r {
            Rec::Plan { round, parts } => {
                for (site, inc, lease) in parts {
                    for bit in bits(*lease) {
                        self.leases.push((bit, *site, *inc, n));
                        self.free &= !bit;
                        self.next = self.next.max(bit.trailing_zeros() as u8 + 1);
                    }
                }
                self.open.push((*round, n));
            }
            Rec::Outer { plan, included, .. } => {
                let Some(at) = self.open.iter().position(|(_, p)| p == plan) else { return };
                self.open.remove(at);
                self.commits.push(n);
                for c in included {
                    self.leases.retain(|l| c.used & l.0 == 0 || l.1 != c.site);
                    self.release(|l| l.1 == c.site && l.3 <= *plan);
                    self.missed[c.site as usize] = 0;
                }
            }
            Rec::Replace { site } => {
                self.release(|l| l.1 == *site);
                let s = *site as usize;
                self.inc[s] += 1;
                self.joined[s] = n;
                self.missed[s] = 0;
                self.from_round[s] = self.commits.len() as u8 + 2;
            }
            Rec::Void => {
                let open: Vec<u8> = self.open.drain(..).map(|(_, p)| p).collect();
                if void_returns {
                    self.release(|l| open.contains(&l.3));
                }
            }
        }
    }

    /// What an outer record does to planned members that it does not include (D18).
    fn omit(&mut self, plan: u8, parts: &[(u8, u8, u32)], included: &[C]) {
        for (site, inc, _) in parts {
            let s = *site as usize;
            if included.iter().any(|c| c.site == *site) || self.inc[s] != *inc {
                continue;
            }
            if self.missed[s] > 0 {
                self.release(|l| l.1 == *site && l.3 <= plan);
                self.missed[s] = 0;
            } else {
                self.missed[s] = 1;
            }
        }
    }

    pub fn leased(&self, site: u8, plan: u8) -> u32 {
        self.leases.iter().filter(|l| l.1 == site && l.3 <= plan).map(|l| l.0).sum()
    }

    /// The next position to lease: returned ones first.
    pub fn next_free(&self, taken: u32) -> u32 {
        bits(self.free & !taken).next().unwrap_or_else(|| {
            let mut n = self.next;
            while taken & (1 << n) != 0 {
                n += 1;
            }
            1 << n
        })
    }
}

pub fn bits(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).map(|n| 1u32 << n).filter(move |b| mask & b != 0)
}
