//! Steps of the paused leader and of the sites.
use super::rules::{Action, Bounds, Mutation};
use super::state::{Fold, Rec, State};

impl Bounds {
    // A second leader that decides, sleeps, and wakes up later. Its write is conditional on the head it decided for.
    pub fn paused_steps(&self, s: &State, f: &Fold, out: &mut Vec<(Action, State)>) {
        if !self.paused {
            return;
        }
        match &s.paused {
            None => {
                for heard in 1..1u8 << self.sites {
                    if let Some(rec) = self.outer(s, f, heard) {
                        let mut n = s.clone();
                        n.paused = Some((s.records.len() as u8, rec));
                        out.push((Action::PausedDecide(heard), n));
                    }
                }
            }
            Some((head, rec)) => {
                let keeps = self.mutation == Mutation::KeepChoiceAfterReread;
                let Rec::Outer { plan, .. } = rec else { return };
                let still_open = f.open.iter().any(|(_, p)| p == plan);
                if *head as usize == s.records.len() || (keeps && still_open) {
                    let mut n = s.clone();
                    n.records.push(rec.clone());
                    // It wakes once: what it would decide next the other leader decides as well.
                    n.paused = Some((u8::MAX, Rec::Void));
                    out.push((Action::PausedAppend, n));
                }
            }
        }
    }

    pub fn site_steps(&self, s: &State, f: &Fold, i: u8, out: &mut Vec<(Action, State)>) {
        let n = i as usize;
        let mut push = |action, change: &dyn Fn(&mut State)| {
            let mut next = s.clone();
            change(&mut next);
            if next != *s {
                out.push((action, next));
            }
        };
        let report = self.report(s, f, n);
        push(Action::Talk(i), &|x| {
            x.told[n] = report.clone();
            super::site::read(self, x, n);
        });
        if self.crashes == 0 {
            push(Action::Work(i), &|x| {
                super::site::train(self, x, n);
                super::site::save(self, x, n);
                super::site::create(self, x, n);
            });
        } else {
            push(Action::Train(i), &|x| super::site::train(self, x, n));
            push(Action::Save(i), &|x| super::site::save(self, x, n));
            push(Action::Create(i), &|x| super::site::create(self, x, n));
        }
        if s.crashes < self.crashes && s.sites[n].memory.is_some() {
            push(Action::Crash(i), &|x| {
                x.sites[n].memory = None;
                x.crashes += 1;
            });
        }
        for j in (0..self.sites).filter(|j| *j != i) {
            push(Action::Fetch(i, j), &|x| super::site::fetch(self, x, n, j as usize));
        }
        // Sites differ in nothing but their number: it is enough that the first one's store burns, except where two may.
        let may_burn = n == 0 || self.losses > 1;
        if may_burn && s.losses < self.losses && s.sites[n].store.is_some() {
            push(Action::LoseStore(i), &|x| {
                x.sites[n].store = None;
                x.sites[n].memory = None;
                x.losses += 1;
            });
        }
    }
}
