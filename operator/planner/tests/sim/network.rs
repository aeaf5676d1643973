//! Who reaches whom, and what couriers fetch.
use std::collections::BTreeMap;

use coalition_protocol::Seq;
use coalition_protocol::history::Commit;

use super::Sim;

impl Sim {
    fn linked(&self, a: usize, b: usize) -> bool {
        let until = self.cuts.get(&(a.min(b), a.max(b))).copied().unwrap_or(0);
        self.sites[a].up(self.now) && self.sites[b].up(self.now) && self.now >= until
    }

    /// The courier: open offers, what unapplied commits include, and a state if its own cannot reach the head.
    pub fn fetch(&mut self, n: usize) {
        let s = &self.sites[n];
        let (Some(view), Some(store), Some(asked)) = (&s.view, &s.store, &s.asked) else { return };
        let mut wanted: Vec<_> = asked.offers.iter().map(|o| (o.offer.key.clone(), o.offer.digest)).collect();
        let from = store.states.keys().next_back().copied().unwrap_or(Seq(0));
        for (_, _, c) in view.commits_after(from) {
            if let Commit::Outer(o) = c {
                wanted.extend(o.included.iter().map(|i| (i.key.clone(), i.digest)));
            }
        }
        wanted.retain(|(k, _)| !store.held.contains_key(k));
        let mut found = Vec::new();
        for (k, d) in wanted {
            let holder = (0..self.sites.len()).any(|m| {
                m != n && self.linked(n, m) && self.sites[m].store.as_ref().is_some_and(|s| s.held.get(&k) == Some(&d))
            });
            if holder {
                found.push((k, d));
            }
        }
        let behind = self.sites[n].at.is_none_or(|(at, _)| at < view.last_commit().0);
        let mut state = None;
        if behind {
            for m in (0..self.sites.len()).filter(|m| *m != n && self.linked(n, *m)) {
                let theirs = self.sites[m].store.as_ref().and_then(|s| s.states.iter().next_back());
                let better = theirs.filter(|(seq, d)| **seq > from && view.state(**seq).is_some_and(|(f, _)| f == **d));
                state = state.max(better.map(|(seq, d)| (*seq, *d)));
            }
        }
        for (k, d) in found {
            if self.draw(4) > 0 {
                self.sites[n].store.as_mut().unwrap().held.insert(k, d);
            }
        }
        if let Some((seq, d)) = state
            && self.draw(6) == 0
        {
            let s = &mut self.sites[n];
            s.store.as_mut().unwrap().states.insert(seq, d);
            s.at = Some((seq, d));
            s.training = None;
        }
    }

    /// True if some store still has, or can compute, the state of the newest commit: the oracle of `StateLost`.
    pub fn reachable(&self) -> bool {
        let view = self.view().unwrap();
        let everyone: BTreeMap<_, _> =
            self.sites.iter().filter_map(|s| s.store.as_ref()).flat_map(|s| s.held.clone()).collect();
        let best = self.sites.iter().filter_map(|s| s.store.as_ref()).flat_map(|s| s.states.keys().copied()).max();
        let from = best.unwrap_or(Seq(0));
        view.commits_after(from).all(|(_, _, c)| match c {
            Commit::Outer(o) => o.included.iter().all(|i| everyone.contains_key(&i.key)),
            _ => false,
        })
    }
}
