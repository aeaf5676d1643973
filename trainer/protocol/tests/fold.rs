//! A fold that forgot what lies before a commit, was written down and read again, goes on like the one it was made of; a text
//! that is none is refused.
#![allow(clippy::unwrap_used, clippy::panic)]
mod chain;

use std::collections::{BTreeMap, BTreeSet};

use chain::{Chain, site};
use coalition_protocol::history::View;
use coalition_protocol::{Seq, SiteId};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

/// Every member, with the state of commit `at`.
fn all_at(view: &View, at: Seq) -> BTreeMap<SiteId, Seq> {
    view.members().iter().filter(|(_, m)| !m.retired).map(|(s, _)| (s.clone(), at)).collect()
}

/// The view without what lies before its newest commit, through its text.
fn forgetful(view: &View) -> View {
    let floor = view.last_commit().0;
    let mut less = view.clone();
    less.forget(floor, &BTreeSet::new(), &all_at(view, floor));
    assert_eq!(less.first_commit(), floor);
    let again = View::from_text(&less.to_text().unwrap()).unwrap();
    assert_eq!(again, less);
    again
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn one_that_forgot_goes_on_the_same(
        before in prop::collection::vec(any::<u16>(), 1..60),
        after in prop::collection::vec((any::<u16>(), 0usize..9), 1..40),
        sites in 1usize..5,
    ) {
        let mut c = Chain::new(sites);
        for m in before {
            c.step(m);
        }
        let mut less = forgetful(&c.view);
        let floor = c.view.last_commit().0;
        // What sites said on the way counts for both: it is in no record.
        let at = all_at(&c.view, floor);
        c.view.learn(&at);
        for (m, spoil) in after {
            let Some(body) = c.propose(m) else { continue };
            let mut spoilt = c.view.next(body.clone());
            prop_assert_eq!(&less.next(body.clone()), &spoilt);
            chain::spoil(&mut spoilt, spoil);
            prop_assert_eq!(less.check(&spoilt).is_ok(), c.view.check(&spoilt).is_ok(), "{:?}", spoilt);
            c.append(body);
            less.apply(c.records.last().unwrap()).unwrap();
        }
        prop_assert_eq!(less.head(), c.view.head());
        prop_assert_eq!((less.tokens(), less.plans_issued(), less.short_rounds()), (c.view.tokens(), c.view.plans_issued(), c.view.short_rounds()));
        prop_assert_eq!(less.ledger(), c.view.ledger());
        prop_assert_eq!(less.members(), c.view.members());
        prop_assert_eq!(less.open_plans().collect::<Vec<_>>(), c.view.open_plans().collect::<Vec<_>>());
        for s in c.view.members().keys() {
            prop_assert_eq!(less.reached(s), c.view.reached(s));
        }
        for (seq, ..) in c.view.commits_after(floor) {
            prop_assert_eq!((less.mark(seq), less.state(seq)), (c.view.mark(seq), c.view.state(seq)));
        }
        // All that is forgotten lies before that commit.
        prop_assert_eq!(less.first(), floor);
        prop_assert_eq!(less.digest_of(floor), c.view.digest_of(floor));
    }
}

/// Five rounds of two sites.
fn five_rounds() -> Chain {
    let mut c = Chain::new(2);
    c.append(c.state());
    for _ in 0..5 {
        c.append(c.plan());
        let commit = c.outer(&[0, 1]);
        c.append(coalition_protocol::record::Body::Outer(commit));
    }
    c
}

#[test]
fn nothing_is_forgotten_that_a_member_may_need() {
    let c = five_rounds();
    let newest = c.view.last_commit().0;
    let all = all_at(&c.view, newest);
    let one: BTreeMap<_, _> = all.iter().take(1).map(|(s, at)| (s.clone(), *at)).collect();
    let behind = all.keys().map(|s| (s.clone(), Seq(0))).collect();
    // A member of which nothing is known, members that are not there yet, what is no commit.
    for (floor, at) in [(newest, &one), (newest, &behind), (Seq(newest.0 - 1), &all)] {
        let mut view = c.view.clone();
        view.forget(floor, &BTreeSet::new(), at);
        assert_eq!(view, c.view);
    }
}

#[test]
fn a_fold_is_shorter_and_keeps_what_is_asked_for() {
    let c = five_rounds();
    let commits: Vec<Seq> = c.view.commits().map(|(seq, ..)| seq).collect();
    let (kept, floor) = (commits[2], commits[4]);
    let mut less = c.view.clone();
    less.forget(floor, &[kept].into(), &all_at(&c.view, commits[5]));
    assert!(less.to_text().unwrap().len() < c.view.to_text().unwrap().len());
    assert_eq!(less.commits().map(|(seq, ..)| seq).collect::<Vec<_>>(), commits[4..]);
    assert_eq!((less.mark(kept), less.mark(commits[3])), (c.view.mark(kept), None));
    assert!(c.view.mark(kept).unwrap().tokens > 0);
    assert_eq!((less.digest_of(commits[3]), less.reached(&site(0))), (None, Some(commits[5])));
}

#[rstest]
#[case::no_text("", "EOF")]
#[case::another_thing("[]", "invalid length")]
fn what_cannot_be_read_is_refused(#[case] text: &str, #[case] why: &str) {
    let e = View::from_text(text).unwrap_err().to_string();
    assert!(e.starts_with("it is not the fold of a history: ") && e.contains(why), "{e}");
}

#[rstest]
#[case::an_unknown_field(|w: &mut Value| w["more"] = json!(1), "unknown field `more`")]
#[case::another_head(|w: &mut Value| w["head"]["digest"] = json!("0".repeat(64)), "its digests do not end with the head")]
#[case::more_digests_than_records(|w: &mut Value| w["head"]["seq"] = json!(0), "its digests do not end with the head")]
#[case::no_commits(|w: &mut Value| w["commits"] = json!([]), "it has no commits")]
#[case::commits_in_another_order(|w: &mut Value| w["commits"].as_array_mut().unwrap().reverse(), "or not in order")]
#[case::an_open_plan_less(|w: &mut Value| w["plans"] = json!([]), "an open plan is missing")]
#[case::positions_less(|w: &mut Value| w["ledger"]["used"] = json!([]), "positions of the data ledger")]
fn parts_that_do_not_fit_are_refused(#[case] spoil: fn(&mut Value), #[case] why: &str) {
    let mut c = five_rounds();
    c.append(c.plan());
    let mut written: Value = serde_json::from_str(&c.view.to_text().unwrap()).unwrap();
    assert_eq!(View::from_text(&written.to_string()).unwrap(), c.view);
    spoil(&mut written);
    let e = View::from_text(&written.to_string()).unwrap_err().to_string();
    assert!(e.contains(why), "{e}");
}
