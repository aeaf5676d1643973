//! What the hub knows when it decides: the request, the history, and of every site what was last heard and when.
//!
//! Everything remote is present, or unknown since an instant. Unknown is never taken for gone.
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::history::View;
use coalition_protocol::messages::{SiteReport, SiteRun};
use coalition_protocol::{Digest, RunId, Seq, SiteId};
use coalition_spec::RunSpec;

use crate::memory::Memory;
use crate::time::Millis;

/// A remote thing as the hub last saw it.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed<T> {
    /// Seen.
    Present {
        /// What was seen.
        value: T,
        /// When this value was first seen.
        first_seen: Millis,
        /// When the hub last heard that this is still the newest.
        last_seen: Millis,
    },
    /// Not known.
    Unknown {
        /// Since when.
        since: Millis,
    },
}

impl<T> Observed<T> {
    /// The value, if present.
    pub const fn value(&self) -> Option<&T> {
        if let Self::Present { value, .. } = self { Some(value) } else { None }
    }
}

/// What the hub knows of a site that may take part.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// When the hub last heard anything of it, if ever: a report, a heartbeat, a lease.
    pub contact: Option<Millis>,
    /// Its report under the present leader; unknown until it echoes the leader's nonce (D7).
    pub report: Observed<SiteReport>,
    /// What was last shown to it.
    pub asked: Option<SiteRun>,
    /// Why it cannot take part, in its own words; none if it can.
    pub refusal: Option<String>,
}

/// What is known of a run before its genesis record, beside its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The run's name.
    pub run: RunId,
    /// Public half of the hub's key, 64 hexadecimal characters.
    pub hub_key: String,
    /// Digest of the prepared data set.
    pub data: Digest,
    /// Samples in one pass over it.
    pub samples_per_pass: u64,
    /// Elements of the padded parameter vector (D3).
    pub elements: u64,
}

/// The leader that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Fresh for every leader; reports that do not echo it are unknown (D7).
    pub nonce: String,
    /// When it began.
    pub since: Millis,
    /// The newest record that this hub's own notes of earlier lives name, such as the reports it keeps. A history that ends
    /// before it was rolled back (D7).
    pub noted: Option<Seq>,
}

/// Everything a decision depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// What is known before genesis.
    pub setup: Setup,
    /// The request, resolved.
    pub spec: RunSpec,
    /// True if the user wants the run to save and stop, keeping everything.
    pub suspend: bool,
    /// When the run was first asked for, for its deadline.
    pub began: Millis,
    /// The history; none before genesis.
    pub view: Option<View>,
    /// Sites that exist and match the run's selector.
    pub sites: BTreeMap<SiteId, Site>,
    /// Run checkpoints that something outside the history names, such as a Checkpoint object: their bytes stay.
    pub named: BTreeSet<Seq>,
    /// The leader.
    pub leader: Leader,
    /// What follows from earlier observations.
    pub memory: Memory,
}

impl World {
    /// A world in which nothing was heard yet.
    pub fn new(setup: Setup, spec: RunSpec, view: Option<View>, nonce: impl Into<String>, now: Millis) -> Self {
        let leader = Leader { nonce: nonce.into(), since: now, noted: None };
        let memory = Memory::default();
        let (sites, named) = (BTreeMap::new(), BTreeSet::new());
        let mut world = Self { setup, spec, suspend: false, began: now, view, sites, named, leader, memory };
        // Members are there to be heard of even if nobody names them again.
        let members: Vec<SiteId> = world.view.iter().flat_map(|v| v.members().keys().cloned()).collect();
        for site in members {
            world.add_site(site, now);
        }
        world
    }

    /// A site that may take part, known from now on.
    pub fn add_site(&mut self, site: SiteId, now: Millis) {
        self.sites.entry(site).or_insert_with(|| Site {
            contact: None,
            report: Observed::Unknown { since: now },
            asked: None,
            refusal: None,
        });
    }
}
