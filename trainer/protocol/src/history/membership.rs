//! Rules and effects of membership records (D8, D9, D14). The fields of one record are applied in their order, so one
//! record can retire an incarnation and assign the site anew.
use std::collections::BTreeMap;

use super::apply::{Rule, rule};
use super::{Member, View};
use crate::record::Members;
use crate::{Incarnation, Round, Seq, SiteId};

impl View {
    pub(super) fn check_members(&self, m: &Members) -> Result<(), Rule> {
        self.changed_members(Seq(0), m).map(|_| ())
    }

    pub(super) fn do_members(&mut self, seq: Seq, m: &Members) {
        if let Ok(changed) = self.changed_members(seq, m) {
            for r in &m.retired {
                self.ledger.release(&r.site, Seq(u64::MAX));
                self.reached.remove(&r.site);
            }
            self.members.extend(changed);
        }
    }

    // The members that the record changes, as they are after it.
    fn changed_members(&self, seq: Seq, m: &Members) -> Result<BTreeMap<SiteId, Member>, Rule> {
        if *m == Members::default() {
            return rule("D8", "a membership record changes something");
        }
        let mut out: BTreeMap<SiteId, Member> = BTreeMap::new();
        let now = |out: &BTreeMap<SiteId, Member>, s: &SiteId| out.get(s).or_else(|| self.members.get(s)).cloned();
        for r in &m.retired {
            match now(&out, &r.site) {
                Some(x) if !x.retired && x.incarnation == r.incarnation => {
                    let gone = Member { retired: true, set_aside: None, set_aside_at: None, ..x };
                    out.insert(r.site.clone(), gone);
                }
                _ => return rule("D8", format!("{} incarnation {} cannot be retired", r.site, r.incarnation)),
            }
        }
        for j in &m.joined {
            let expected = match now(&out, &j.site) {
                Some(x) if !x.retired => return rule("D8", format!("{} is a member already", j.site)),
                Some(x) => x.incarnation.next(),
                None => Incarnation(1),
            };
            if j.incarnation != expected {
                return rule("D8", format!("{} joins as incarnation {}, expected {expected}", j.site, j.incarnation));
            }
            let member = Member {
                incarnation: expected,
                retired: false,
                set_aside: None,
                missed: 0,
                // D9: a new site enters earliest two rounds later.
                from_round: Round(self.last_round().0 + 2),
                joined_at: seq,
                set_aside_at: None,
            };
            out.insert(j.site.clone(), member);
        }
        for s in &m.set_aside {
            match now(&out, &s.site) {
                Some(x) if x.in_good_standing() && x.incarnation == s.incarnation => {
                    let aside = Member { set_aside: Some(s.reason.clone()), set_aside_at: Some(seq), ..x };
                    out.insert(s.site.clone(), aside);
                }
                _ => return rule("D14", format!("{} cannot be set aside", s.site)),
            }
        }
        for l in &m.lifted {
            match now(&out, l) {
                Some(x) if !x.retired && x.set_aside.is_some() => {
                    out.insert(l.clone(), Member { set_aside: None, set_aside_at: None, ..x });
                }
                _ => return rule("D14", format!("{l} is not set aside")),
            }
        }
        Ok(out)
    }
}
