//! What is wanted and what may go, without a store.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::collections::BTreeSet;

use coalition_courier::garbage::garbage;
use coalition_courier::wants::{Stock, reportable, wants};
use coalition_protocol::messages::StoredCheckpoint;
use coalition_protocol::{Digest, Seq};
use common::{Chain, Member, SITES};

fn stock(chain: &Chain) -> Stock {
    let mut s = Stock::default();
    for (_, _, c) in chain.view.commits() {
        if let coalition_protocol::history::Commit::Outer(o) = c {
            s.contributions.extend(o.included.iter().map(|i| (i.key.clone(), i.digest)));
        }
    }
    s
}

#[tokio::test]
async fn a_site_wants_every_commit_after_its_newest_base() {
    let mut chain = Chain::new();
    let mut commits = Vec::new();
    for _ in 0..2 {
        chain.plan();
        commits.push(chain.commit(&SITES));
    }
    let south = Member::new("south").await;
    let run = south.asked(&chain, &[], &[], &[]);
    let all = wants(&run, &chain.view, &Stock::default());
    assert_eq!(all.contributions.len(), 6);
    assert_eq!(all.base, None, "no base is kept anywhere");
    assert!(wants(&run, &chain.view, &stock(&chain)).contributions.is_empty());
    let stored = StoredCheckpoint { seq: commits[0], state: Digest::ZERO, bytes: 1 };
    let base = Stock { checkpoints: [(commits[0], stored)].into(), ..Stock::default() };
    let rest = wants(&run, &chain.view, &base).contributions;
    assert!(rest.len() == 3 && rest.iter().all(|w| w.commit == Some(commits[1])));
    // The maker is asked first.
    assert!(rest.iter().all(|w| w.holders[0] == w.offer.key.site && w.holders.len() == 3));
}

#[tokio::test]
async fn a_base_is_fetched_when_it_is_cheaper_or_the_only_way() {
    let mut chain = Chain::new();
    let mut commits = Vec::new();
    for _ in 0..3 {
        chain.plan();
        commits.push(chain.commit(&["north"]));
    }
    let south = Member::new("south").await;
    let kept = south.asked(&chain, &[], &[], &commits[..2]);
    // Two missing contributions cost what the base costs: no base.
    assert_eq!(wants(&kept, &chain.view, &Stock::default()).base, None);
    let kept = south.asked(&chain, &[], &[], &commits);
    let w = wants(&kept, &chain.view, &Stock::default());
    assert_eq!((w.base, w.contributions.len()), (Some(commits[2]), 0));
    // Nobody has a contribution any more: the base, however near.
    let kept = south.asked(&chain, &[], &[], &commits[..1]);
    let gone = wants(&kept, &chain.view, &Stock::default()).contributions[0].offer.key.clone();
    let lost = Stock { nowhere: [gone].into(), ..Stock::default() };
    let w = wants(&kept, &chain.view, &lost);
    assert_eq!((w.base, w.contributions.len()), (Some(commits[0]), 2));
}

#[tokio::test]
async fn a_base_that_nobody_has_keeps_nothing_waiting() {
    let mut chain = Chain::new();
    let mut commits = Vec::new();
    for _ in 0..3 {
        chain.plan();
        commits.push(chain.commit(&["north"]));
    }
    let south = Member::new("south").await;
    let kept = south.asked(&chain, &[], &[], &commits);
    let absent = |n: &[Seq]| Stock { absent: n.iter().copied().collect(), ..Stock::default() };
    // The contributions instead, as if no base were kept.
    let w = wants(&kept, &chain.view, &absent(&commits));
    assert_eq!((w.base, w.contributions.len()), (None, 3));
    // Once they cannot be had either, both are asked for.
    let gone = Stock { nowhere: [w.contributions[0].offer.key.clone()].into(), ..absent(&commits) };
    let w = wants(&kept, &chain.view, &gone);
    assert_eq!((w.base, w.contributions.len()), (Some(commits[2]), 3));
    // An older one that may exist goes first.
    let older = Stock { nowhere: gone.nowhere, ..absent(&commits[1..]) };
    let w = wants(&kept, &chain.view, &older);
    assert_eq!((w.base, w.contributions.len()), (Some(commits[0]), 2));
}

#[tokio::test]
async fn an_offer_that_cannot_count_is_not_fetched() {
    let mut chain = Chain::new();
    let north = Member::new("north").await;
    let plan = chain.plan();
    let good = north.make(&chain).await;
    let south = Member::new("south").await;
    let count = |offer: &coalition_protocol::messages::Offer| {
        let run = south.asked(&chain, &[&north], std::slice::from_ref(offer), &[]);
        wants(&run, &chain.view, &Stock::default()).contributions.len()
    };
    assert_eq!(count(&good), 1);
    let mut old = good.clone();
    old.key.incarnation = coalition_protocol::Incarnation(2);
    let mut large = good.clone();
    large.bytes += 4;
    let mut closed = good.clone();
    closed.key.plan = Seq(plan.0 + 7);
    let mut epoch = good.clone();
    epoch.key.epoch = coalition_protocol::Epoch(2);
    for (why, bad) in [("incarnation", old), ("size", large), ("plan", closed), ("epoch", epoch)] {
        assert_eq!(count(&bad), 0, "{why}");
    }
}

#[test]
fn holds_are_reported_until_the_commit_is_applied() {
    let mut chain = Chain::new();
    chain.plan();
    let commit = chain.commit(&["north", "south"]);
    let s = stock(&chain);
    assert_eq!(reportable(&chain.view, None, &s).len(), 2);
    assert_eq!(reportable(&chain.view, Some(Seq(commit.0 - 1)), &s).len(), 2);
    assert_eq!(reportable(&chain.view, Some(commit), &s).len(), 0);
}

#[test]
fn garbage_is_what_no_base_and_no_open_plan_needs() {
    let mut chain = Chain::new();
    let mut commits = Vec::new();
    for _ in 0..4 {
        chain.plan();
        commits.push(chain.commit(&SITES));
    }
    let here: Vec<_> = stock(&chain).contributions.into_iter().map(|(k, _)| k).collect();
    let go = |bases: &[Seq], keep: &[Seq]| {
        let bases: BTreeSet<Seq> = bases.iter().copied().collect();
        garbage(&chain.view, keep, &bases, here.clone())
    };
    assert_eq!(go(&[], &[]).contributions.len(), 0, "replay may begin at genesis");
    assert_eq!(go(&commits[3..], &[]).contributions.len(), 0, "one base alone may be damaged");
    let g = go(&[commits[1], commits[3]], &[]);
    assert_eq!((g.contributions.len(), g.checkpoints.len()), (6, 0), "after the second newest base all stays");
    let g = go(&[commits[0], commits[1], commits[3]], &[]);
    assert_eq!(g.checkpoints, [commits[0]]);
    assert!(go(&[commits[0], commits[1], commits[3]], &commits[..1]).checkpoints.is_empty(), "the hub wants it kept");
    // What an open plan may need stays.
    let mut next = Chain::new();
    next.plan();
    let offered = next.contribution("north").0.key;
    assert!(garbage(&next.view, &[], &BTreeSet::new(), [offered]).contributions.is_empty());
}
