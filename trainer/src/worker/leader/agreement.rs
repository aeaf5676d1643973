//! When sites computed different states for one commit (D17): compare chunk digests, compute the chunks that differ once more
//! from the kept O and the contributions, reload what that cannot put right. May be repeated after a failure. Must not decide
//! when.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use coalition_outer::{OuterState, Rule, Vector, Weighted, chunks, rebase};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{SiteRun, StateNotice, StateReport};
use coalition_protocol::{Digest, Seq, SiteId};
use coalition_store::{StoreError, contribution, run_checkpoint};
use serde::Serialize;

use super::Leader;
use super::acts::Undone;
use crate::events::emit;
use crate::failure::Stop;
use crate::worker::outer_state::{Beginning, Source};
use crate::worker::watch::Seen;

/// O as a site left it for the next one, until the digest of a state after it is fixed (D4). Its chunk digests are those it
/// had when it was the newest state, so what memory did to it since is seen.
pub struct Kept {
    at: Seq,
    state: OuterState,
    chunks: Vec<Digest>,
}

impl Kept {
    /// Keeps `state`, which was reported like this.
    pub(super) fn new(state: OuterState, report: StateReport) -> Self {
        Self { at: report.of, state, chunks: report.chunks }
    }

    /// Chunk `k` of θ and of u, if it still has the bits that were reported.
    fn piece(&self, k: usize) -> Option<OuterState> {
        let piece = self.state.piece(k);
        let reported = [self.chunks.get(k)?, self.chunks.get(self.chunks.len() / 2 + k)?];
        piece.chunks().iter().eq(reported).then_some(piece)
    }
}

/// Chunks by name: `theta[0]`, `u[3]`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reproduced {
    seq: u64,
    round: u64,
    millis: f64,
    /// What others computed otherwise; everything if their chunk digests cannot be had.
    differing: Vec<String>,
    /// What was computed once more from the kept O.
    recomputed: Vec<String>,
    /// What was read elsewhere instead.
    reloaded: Vec<String>,
    /// What was wrong here and is exchanged.
    replaced: Vec<String>,
}

/// The chunk digests to compare with: of the state that is fixed, if one is, else of every other site that differs. Only
/// lists that are what their own digest says.
fn others<'a>(
    told: &'a [StateNotice],
    own: &StateReport,
    site: &SiteId,
    fixed: Option<Digest>,
) -> Vec<&'a StateReport> {
    let counts = |s: &SiteId, r: &StateReport| {
        s != site
            && r.of == own.of
            && r.digest != own.digest
            && fixed.is_none_or(|f| f == r.digest)
            && r.chunks.len() == own.chunks.len()
            && Digest::over(&r.chunks) == r.digest
    };
    told.iter().filter(|n| counts(&n.site, &n.state)).map(|n| &n.state).collect()
}

impl Leader<'_, '_> {
    /// The digest that the history fixed for the applied state, if it is another one than this site's.
    pub(super) fn refuted(&self, view: &View) -> Option<Digest> {
        view.state(self.cursor.applied).map(|(fixed, _)| fixed).filter(|fixed| *fixed != self.cursor.state)
    }

    /// True if the history or another site contradicts the applied state, and this site has not looked into it, or could not
    /// and holds something new since.
    pub(super) fn disputed(&self, view: &View, asked: &SiteRun, held: &Arc<BTreeSet<ContributionKey>>) -> bool {
        let told =
            |n: &StateNotice| n.site != self.site && n.state.of == self.state.of && n.state.digest != self.state.digest;
        !self.state.reproduced
            && self.helpless.as_ref() != Some(held)
            && (self.refuted(view).is_some() || asked.disagreement.iter().any(told))
    }

    /// Looks into the applied state: its own value again is confirmed, another is taken.
    pub(super) fn reproduce(&mut self, seen: &Seen, view: &View) -> Result<(), Undone> {
        let started = Instant::now();
        let fixed = self.refuted(view);
        let told = seen.site_run.as_ref().map_or(&[][..], |r| &r.disagreement);
        let others = others(told, &self.state, &self.site, fixed);
        let suspects: BTreeSet<usize> = if others.is_empty() {
            (0..self.state.chunks.len()).collect()
        } else {
            others.iter().flat_map(|o| chunks::differing(&self.state.chunks, &o.chunks)).collect()
        };
        let places: Vec<(usize, Vector, usize)> =
            suspects.iter().filter_map(|n| self.outer.place(*n).map(|(v, k)| (*n, v, k))).collect();

        let mut pieces: BTreeMap<usize, OuterState> = BTreeMap::new();
        for k in places.iter().map(|(.., k)| *k).collect::<BTreeSet<_>>() {
            if let Some(piece) = self.recompute(view, k)? {
                pieces.insert(k, piece);
            }
        }
        let (recomputed, lacking): (Vec<usize>, Vec<usize>) =
            suspects.iter().partition(|n| self.outer.place(**n).is_some_and(|(_, k)| pieces.contains_key(&k)));
        let mut reload = lacking.clone();
        let now = self.digests_with(&places, &pieces);
        if fixed.is_some_and(|f| f != Digest::over(&now)) {
            let all = || suspects.iter().copied().collect();
            reload = others.first().map_or_else(all, |o| chunks::differing(&now, &o.chunks));
        }
        let found = if reload.is_empty() { None } else { self.elsewhere(view)? };
        if let Some(found) = &found {
            for (_, k) in reload.iter().filter_map(|n| self.outer.place(*n)) {
                pieces.insert(k, found.piece(k));
            }
        } else {
            reload.clear();
        }
        let able = lacking.is_empty() || found.is_some();
        drop(found);

        let now = self.digests_with(&places, &pieces);
        let replaced = chunks::differing(&self.state.chunks, &now);
        let names = |list: &[usize]| list.iter().map(|n| self.name(*n)).collect();
        emit(
            "reproduced",
            Reproduced {
                seq: self.cursor.applied.0,
                round: self.cursor.round.0,
                millis: started.elapsed().as_secs_f64() * 1e3,
                differing: names(&places.iter().map(|(n, ..)| *n).collect::<Vec<_>>()),
                recomputed: names(&recomputed),
                reloaded: names(&reload),
                replaced: names(&replaced),
            },
        );
        if replaced.is_empty() {
            tracing::warn!("sites disagree about the state of record {}; this one has its own again", self.state.of);
            self.state.reproduced = able;
        } else {
            self.replace(view, &replaced, &pieces, now)?;
        }
        let settled = able && self.refuted(view).is_none();
        self.helpless = (!settled).then(|| seen.held.clone());
        Ok(())
    }

    /// Chunk `k` of the applied state from the kept O and the contributions since; none if some of that is not here, or not
    /// as it was.
    fn recompute(&self, view: &View, k: usize) -> Result<Option<OuterState>, Undone> {
        let Some(kept) = &self.before else { return Ok(None) };
        let Some(mut piece) = kept.piece(k) else {
            tracing::warn!("chunk {k} of the state of record {}, kept here, is damaged", kept.at);
            return Ok(None);
        };
        let rule = Rule::of(view.genesis());
        let passed = |seq: Seq| seq > kept.at && seq <= self.cursor.applied;
        for (_, _, commit) in view.commits().filter(|(seq, ..)| passed(*seq)) {
            // What a step led from is in no contribution.
            let Commit::Outer(outer) = commit else { return Ok(None) };
            let mut parts = Vec::with_capacity(outer.included.len());
            for i in &outer.included {
                match self.store.wait(contribution::chunk(self.store.store(), view.run(), &i.key, i.digest, k)) {
                    Ok(delta) => parts.push((delta, i.tokens)),
                    Err(StoreError::NotFound { .. }) => return Ok(None),
                    Err(e @ StoreError::Damaged { .. }) => return Err(self.drop_damaged(view, outer, &e)?),
                    Err(e) => return Err(e.into()),
                }
            }
            let parts: Vec<Weighted<'_>> =
                parts.iter().map(|(delta, tokens)| Weighted { delta, tokens: *tokens }).collect();
            piece = piece.after(&parts, &rule).map_err(Stop::from)?;
        }
        Ok(Some(piece))
    }

    /// The applied state from the store alone: a base whose state is fixed, and the contributions since.
    fn elsewhere(&mut self, view: &View) -> Result<Option<OuterState>, Undone> {
        let init = &self.spec.model.init;
        let drawn;
        let beginning = if let Some(base) = &init.from {
            Beginning::From(base)
        } else {
            drawn = self.rank.body.initial(init.seed)?;
            Beginning::Drawn(&drawn)
        };
        let source = Source { store: self.store, view, layout: &self.layout, beginning };
        Ok(source.proved(self.cursor.applied)?)
    }

    /// The chunk digests of the applied state with these pieces in these places.
    fn digests_with(&self, places: &[(usize, Vector, usize)], pieces: &BTreeMap<usize, OuterState>) -> Vec<Digest> {
        let mut all = self.state.chunks.clone();
        for (n, vector, k) in places {
            if let (Some(to), Some(piece)) = (all.get_mut(*n), pieces.get(k)) {
                let chunk = if *vector == Vector::Theta { piece.theta() } else { piece.u() };
                *to = chunks::digest_of_chunk(chunk);
            }
        }
        all
    }

    /// Exchanges chunks that were wrong. What was trained on a wrong θ stays, on the right one.
    fn replace(
        &mut self,
        view: &View,
        wrong: &[usize],
        pieces: &BTreeMap<usize, OuterState>,
        now: Vec<Digest>,
    ) -> Result<(), Undone> {
        let of = self.state.of;
        tracing::warn!("chunks {wrong:?} of the state of record {of} were wrong here and are replaced");
        let elements = self.outer.theta().len();
        for n in wrong {
            let Some((vector, k)) = self.outer.place(*n) else { continue };
            let Some(piece) = pieces.get(&k) else { continue };
            if vector == Vector::Theta {
                let range = chunks::range(elements, k);
                let x = &mut self.rank.body.trainer.params_mut()[range.clone()];
                rebase(x, &self.outer.theta()[range], piece.theta()).map_err(Stop::from)?;
                self.share_parameters();
            }
            self.outer.replace_chunk(*n, piece).map_err(Stop::from)?;
        }
        self.state = StateReport { of, digest: Digest::over(&now), chunks: now, reproduced: false };
        self.cursor.state = self.state.digest;
        // What was saved has the wrong state in it, and would be refused: the next stop or offer saves anew.
        self.saved = None;
        // A base of the wrong state would stand in the way of the right one.
        match self.store.wait(run_checkpoint::manifest(self.store.store(), view.run(), of)) {
            Ok(m) if m.state != self.state.digest => {
                self.stored.remove(&of);
                self.store.wait(run_checkpoint::unmake(self.store.store(), view.run(), of))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn name(&self, n: usize) -> String {
        match self.outer.place(n) {
            Some((Vector::Theta, k)) => format!("theta[{k}]"),
            Some((Vector::Momentum, k)) => format!("u[{k}]"),
            None => format!("[{n}]"),
        }
    }
}
