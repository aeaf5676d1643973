//! Run checkpoints (D20, D21, D28): which are consistent, which are kept, which are wanted.
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::messages::bounds;
use coalition_protocol::{Digest, Round, Seq, SiteId};

use crate::standing::Standing;

/// Copies a consistent checkpoint has, if there are so many members (D21).
pub const COPIES: usize = 2;

/// What is true of the checkpoints of a run that does not go on. Messages that end a run say it, so that none names a way out
/// that this version does not have.
pub const STAY: &str = "Its run checkpoints stay readable (`coalition-trainer generate`, transformers), but this version cannot \
                        start a run from one: a new run begins at the beginning";

/// k: sites that must store a checkpoint for it to be consistent.
pub fn copies(s: &Standing<'_>) -> usize {
    s.good().count().clamp(1, COPIES)
}

/// Who stores which run checkpoint, complete and verified against its agreed digest.
pub fn stored(s: &Standing<'_>) -> BTreeMap<Seq, BTreeSet<SiteId>> {
    let mut out: BTreeMap<Seq, BTreeSet<SiteId>> = BTreeMap::new();
    for (site, _) in s.members() {
        let Some(report) = s.report(site).filter(|r| !r.store_lost) else { continue };
        for c in &report.checkpoints {
            if s.view.state(c.seq).is_some_and(|(digest, _)| digest == c.state) {
                out.entry(c.seq).or_default().insert(site.clone());
            }
        }
    }
    out
}

/// True if a run checkpoint is due at the commit of `round` after which `tokens` are committed: the rule that trainers
/// follow by themselves.
pub const fn due(round: Round, tokens: u64, every_rounds: u64, budget: u64) -> bool {
    tokens >= budget || (every_rounds > 0 && round.0 > 0 && round.0.is_multiple_of(every_rounds))
}

/// The newest consistent checkpoint, with its copies.
pub fn consistent(s: &Standing<'_>) -> Option<(Seq, BTreeSet<SiteId>, Digest)> {
    let k = copies(s);
    let (seq, sites) = stored(s).into_iter().rev().find(|(_, sites)| sites.len() >= k)?;
    Some((seq, sites, s.view.state(seq)?.0))
}

/// The round of commit `seq` and the tokens committed by then.
pub fn of(s: &Standing<'_>, seq: Seq) -> Option<(Round, u64)> {
    s.view.mark(seq).map(|m| (m.round, m.tokens))
}

/// Commits whose checkpoints stay: those the rules want, and those that something outside the history names. Of what is named
/// the newest, as far as a message holds them.
pub fn keep(s: &Standing<'_>) -> Vec<Seq> {
    let mut keep = wanted(s);
    for seq in s.world.named.iter().rev() {
        if keep.len() >= bounds::KEPT {
            break;
        }
        keep.insert(*seq);
    }
    keep.into_iter().collect()
}

/// Commits whose checkpoints the rules want: the newest consistent one, the last so many of what is stored
/// (`retention.last`), what each site starts from (its newest), and whatever is newer than all of those.
pub fn wanted(s: &Standing<'_>) -> BTreeSet<Seq> {
    let stored = stored(s);
    let mut keep: BTreeSet<Seq> = BTreeSet::new();
    keep.extend(consistent(s).map(|(seq, ..)| seq));
    let last = (s.world.spec.checkpoint.retain_last as usize).max(1);
    keep.extend(stored.keys().rev().take(last));
    for (site, _) in s.members() {
        keep.extend(stored.iter().rev().find(|(_, sites)| sites.contains(site)).map(|(seq, _)| *seq));
    }
    // The two newest commits are what sites are writing or starting from right now.
    keep.extend(s.view.commits().rev().take(2).map(|(seq, ..)| seq));
    keep
}

/// Commits for which a checkpoint is wanted beyond the rule: the newest one, when the run is to stop.
pub fn save(s: &Standing<'_>) -> Vec<Seq> {
    let (newest, ..) = s.view.last_commit();
    let budget_reached = s.view.tokens() >= s.world.spec.training.tokens;
    let stopping = s.world.suspend || budget_reached;
    if stopping && newest > Seq(0) { vec![newest] } else { Vec::new() }
}
