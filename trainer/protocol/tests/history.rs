//! The fold over histories: generated legal ones keep its invariants, illegal successors are refused whole, and ten
//! thousand records replay in less than a second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod chain;

use chain::{Chain, rule_of, site, with_plan};
use coalition_protocol::history::{View, Violation};
use coalition_protocol::record::{Assignment, Body, End, Members, Outcome, Plan, Record, Removal, State, Void};
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Digest, Epoch, Incarnation, IntervalSet, Real, Round, Seq};
use proptest::prelude::*;
use rstest::rstest;

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Any run of legal records: positions are partitioned, used ones add up to T, replay gives the same fold.
    #[test]
    fn legal_histories_keep_the_ledger(moves in prop::collection::vec(any::<u16>(), 1..90), sites in 1usize..5) {
        let mut c = Chain::new(sites);
        for m in moves {
            c.step(m);
            let v = &c.view;
            prop_assert!(v.ledger().is_partition(), "D24 after record {}", v.head().seq);
            prop_assert_eq!(v.ledger().used().len() * v.genesis().sequence_length, v.tokens(), "D25");
            prop_assert!(v.open_plans().count() <= 2 && v.norms().len() <= 64);
            for (_, l) in v.ledger().all_leases() {
                prop_assert_eq!(v.incarnation(&l.site), Some(l.incarnation), "only members in force hold leases");
            }
        }
        let key = HubKey::from_seed(&[7; 32]);
        let signed: Vec<SignedRecord> = c.records.iter().map(|r| key.sign(r.clone()).unwrap()).collect();
        prop_assert_eq!(View::replay(&signed).unwrap().unwrap(), c.view);
    }

    /// Whatever field of a legal record is changed, the fold either refuses it and stays as it was, or the record is legal.
    #[test]
    fn a_refused_record_leaves_no_trace(moves in prop::collection::vec(any::<u16>(), 1..50), last in any::<u16>(), spoil in 0usize..9) {
        let mut c = Chain::new(3);
        for m in moves {
            c.step(m);
        }
        let Some(body) = c.propose(last) else { return Ok(()) };
        let mut r = c.view.next(body);
        chain::spoil(&mut r, spoil);
        let before = c.view.clone();
        let mut view = c.view.clone();
        let legal = view.apply(&r).is_ok();
        if legal {
            prop_assert_eq!(view.head().digest, r.digest().unwrap());
        } else {
            prop_assert_eq!(&view, &before);
        }
        prop_assert_eq!(before.check(&r).is_ok(), legal);
    }
}

#[rstest]
#[case::number(|r: &mut Record| r.seq = Seq(99))]
#[case::parent(|r: &mut Record| r.parent = Digest::ZERO)]
#[case::epoch(|r: &mut Record| r.epoch = Epoch(2))]
#[case::run(|r: &mut Record| r.run = "other".parse().unwrap())]
#[case::version(|r: &mut Record| r.version = 99)]
fn a_wrong_link_is_refused(#[case] spoil: fn(&mut Record)) {
    let c = Chain::new(2);
    let mut r = c.view.next(c.plan());
    assert!(c.view.check(&r).is_ok());
    spoil(&mut r);
    assert!(matches!(c.view.check(&r), Err(Violation::Link { .. } | Violation::Version { .. })));
}

#[test]
fn plans_that_break_a_rule_are_refused_by_its_name() {
    assert_eq!(with_plan(|_| {}), "legal");
    assert_eq!(with_plan(|p| p.round = Round(2)), "D9");
    assert_eq!(with_plan(|p| p.tokens_before = 1), "D9");
    assert_eq!(with_plan(|p| p.quorum = 3), "D9");
    assert_eq!(with_plan(|p| p.stretch = 4), "D29", "nobody of this version would use such a lease up");
    assert_eq!(with_plan(|p| p.parts.reverse()), "D9");
    assert_eq!(with_plan(|p| p.parts[0].tokens += 1), "D9");
    assert_eq!(with_plan(|p| drop(p.parts.pop())), "D9", "one member is alone only if no other could have a part");
    assert_eq!(with_plan(|p| p.parts[0].incarnation = Incarnation(2)), "D8");
    assert_eq!(with_plan(|p| p.parts[0].site = "nobody".parse().unwrap()), "D8");
    let twice = |p: &mut Plan| {
        p.parts[1].ranges = p.parts[0].ranges.clone();
        p.parts[1].tokens = p.parts[0].tokens;
    };
    assert_eq!(with_plan(twice), "D24", "one position, two leases");
    assert_eq!(
        with_plan(|p| p.parts[1].ranges = IntervalSet::span(100, 100 + p.parts[1].ranges.len())),
        "D24",
        "positions between are skipped"
    );
}

#[test]
fn commits_that_break_a_rule_are_refused_by_its_name() {
    let mut c = Chain::new(3);
    c.append(c.plan());
    let good = c.outer(&[0, 1]);
    assert_eq!(rule_of(&c, Body::Outer(good.clone())), "D17", "the initial state comes first");
    c.append(c.state());
    let with = |f: &dyn Fn(&mut coalition_protocol::record::Outer)| {
        let mut o = good.clone();
        f(&mut o);
        rule_of(&c, Body::Outer(o))
    };
    assert_eq!(with(&|_| {}), "legal");
    assert_eq!(with(&|o| o.round = Round(2)), "D14");
    assert_eq!(with(&|o| o.included.clear()), "D14");
    assert_eq!(with(&|o| o.included.reverse()), "D15");
    assert_eq!(with(&|o| o.included[1] = o.included[0].clone()), "D15");
    assert_eq!(with(&|o| o.included[0].key.incarnation = Incarnation(2)), "D8");
    assert_eq!(with(&|o| o.included[0].key.plan = Seq(9)), "D8");
    assert_eq!(with(&|o| o.included[0].tokens += 1), "D25");
    assert_eq!(with(&|o| o.tokens += 1), "D25");
    assert_eq!(with(&|o| o.included[0].used[0].used = IntervalSet::span(1, 2)), "D24", "not a prefix");
    assert_eq!(with(&|o| o.holders.clear()), "D14");
    assert_eq!(with(&|o| o.holders.push("stranger".parse().unwrap())), "D14", "a holder is a member");
    assert_eq!(with(&|o| o.left_out.clear()), "D18");
    assert_eq!(with(&|o| o.left_out[0].returned = true), "D18", "the first omission returns nothing");
    c.append(Body::Outer(good.clone()));
    assert_eq!(rule_of(&c, Body::Outer(good)), "D14", "once a round");
}

#[test]
fn the_norm_limit_is_five_medians_of_enough_norms() {
    let mut c = Chain::new(4);
    c.append(c.state());
    for n in 0..2 {
        assert_eq!(c.view.norm_limit(), None, "after {n} rounds");
        c.append(c.plan());
        c.append(Body::Outer(c.outer(&[0, 1, 2, 3])));
    }
    assert_eq!(c.view.norm_limit(), Some(Real::new(5.0).unwrap()));
    let Body::Plan(mut p) = c.plan() else { panic!() };
    p.norm_limit = c.view.norm_limit();
    c.append(Body::Plan(p));
    let mut o = c.outer(&[0]);
    o.included[0].norm = Real::new(5.1).unwrap();
    assert_eq!(rule_of(&c, Body::Outer(o)), "D14");
}

#[test]
fn a_retired_incarnation_returns_its_leases_and_commits_nothing() {
    let mut c = Chain::new(2);
    c.append(c.state());
    c.append(c.plan());
    let offered = c.outer(&[0, 1]);
    let removal = Removal { site: site(1), incarnation: Incarnation(1), reason: "Lost".into() };
    let joined = vec![Assignment { site: site(1), incarnation: Incarnation(2) }];
    c.append(Body::Members(Members { retired: vec![removal.clone()], joined, ..Members::default() }));
    assert_eq!(rule_of(&c, Body::Outer(offered)), "D8");
    assert_eq!(c.view.ledger().leases(&site(1)).count(), 0);
    let again = Members { retired: vec![removal], ..Members::default() };
    assert_eq!(rule_of(&c, Body::Members(again)), "D8", "that incarnation is gone already");
    let m = &c.view.members()[&site(1)];
    assert_eq!((m.incarnation, m.from_round, m.joined_at), (Incarnation(2), Round(2), c.view.head().seq));
}

#[test]
fn a_newcomer_enters_two_rounds_later_unless_nobody_else_is_left() {
    let mut c = Chain::new(2);
    c.append(c.state());
    let replace = |c: &mut Chain, n: usize| {
        let retired = vec![Removal { site: site(n), incarnation: Incarnation(1), reason: "StoreLost".into() }];
        let joined = vec![Assignment { site: site(n), incarnation: Incarnation(2) }];
        c.append(Body::Members(Members { retired, joined, ..Members::default() }));
    };
    replace(&mut c, 1);
    assert_eq!(c.view.plannable(Round(1)).collect::<Vec<_>>(), [&site(0)]);
    assert_eq!(c.view.plannable(Round(2)).count(), 2);
    let Body::Plan(alone) = c.plan() else { panic!() };
    let mut both = alone.clone();
    let mut part = both.parts[0].clone();
    (part.site, part.incarnation, part.ranges) = (site(1), Incarnation(2), IntervalSet::span(4, 8));
    both.parts.push(part);
    assert_eq!((rule_of(&c, Body::Plan(alone)), rule_of(&c, Body::Plan(both))), ("legal", "D9"));
    replace(&mut c, 0);
    assert_eq!(c.view.plannable(Round(1)).count(), 2, "somebody must do round 1");
    c.append(c.plan());
}

#[test]
fn a_void_moves_no_range_and_the_round_is_used_again() {
    let mut c = Chain::new(2);
    c.append(c.state());
    c.append(c.plan());
    c.append(c.plan());
    let leased: u64 = c.view.ledger().all_leases().map(|(_, l)| l.ranges.len()).sum();
    let open: Vec<Seq> = c.view.open_plans().map(|(s, _)| s).collect();
    let void = |plans: Vec<Seq>| Body::Void(Void { round: Round(1), plans, reason: "NoQuorum".into() });
    assert_eq!(rule_of(&c, void(open[..1].to_vec())), "D14", "all open plans or none");
    c.append(void(open));
    assert_eq!(c.view.ledger().all_leases().map(|(_, l)| l.ranges.len()).sum::<u64>(), leased);
    assert_eq!(c.view.next_round(), Round(1));
    // The next contribution brings the late work with it (D18).
    c.append(c.plan());
    let late = c.outer(&[0]);
    assert_eq!(late.included[0].used.len(), 3);
    c.append(Body::Outer(late));
}

#[test]
fn the_second_omission_in_a_row_returns_the_ranges() {
    let mut c = Chain::new(2);
    c.append(c.state());
    for n in 0..4 {
        c.append(c.plan());
        c.append(Body::Outer(c.outer(&[0])));
        let odd = n % 2 == 0;
        assert_eq!(c.view.members()[&site(1)].missed, u32::from(odd));
        assert_eq!(c.view.ledger().leases(&site(1)).count(), usize::from(odd));
    }
}

#[test]
fn nothing_follows_the_end_and_reserved_kinds_are_refused_by_name() {
    let mut c = Chain::new(1);
    let rewind = coalition_protocol::record::Rewind { to: Seq(0), skip: IntervalSet::new(), lr_factor: Real::ZERO };
    assert_eq!(rule_of(&c, Body::Rewind(rewind)), "reserved");
    c.append(c.state());
    let end = |outcome| {
        let state = c.view.state(Seq(0)).map(|(d, _)| d);
        Body::End(End { outcome, message: String::new(), tokens: 0, of: Seq(0), state, confirmers: vec![site(0)] })
    };
    assert_eq!(rule_of(&c, end(Outcome::Complete)), "D11", "the budget is not committed");
    let failed = end(Outcome::Failed);
    c.append(failed);
    let late = State { of: Seq(0), digest: Digest::ZERO, confirmers: vec![site(0)] };
    assert_eq!(rule_of(&c, Body::State(late)), "D11");
}

#[test]
fn ten_thousand_records_replay_in_less_than_a_second() {
    let mut c = Chain::new(3);
    c.append(c.state());
    while c.records.len() < 10_000 {
        c.append(c.plan());
        c.append(Body::Outer(c.outer(&[0, 1, 2])));
        c.append(c.state());
    }
    let began = cpu_nanos();
    let mut view = View::start_unsigned(&c.records[0]).unwrap();
    for r in &c.records[1..] {
        view.apply(r).unwrap();
    }
    let took = cpu_nanos() - began;
    println!("{} records in {} ms of processor time", c.records.len(), took / 1_000_000);
    assert_eq!(view, c.view);
    assert!(took < 1_000_000_000, "{took} ns");
}

/// Processor time of this thread, as the kernel counts it: a busy machine does not make the fold slower.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let c = Chain::new(1);
    let (right, wrong) = (HubKey::from_seed(&[7; 32]), HubKey::from_seed(&[8; 32]));
    let mut view = View::start(&right.sign(c.records[0].clone()).unwrap()).unwrap();
    let next = view.next(c.plan());
    assert!(matches!(view.extend(&wrong.sign(next.clone()).unwrap()), Err(Violation::Signature(_))));
    view.extend(&right.sign(next).unwrap()).unwrap();
    assert!(View::start(&wrong.sign(c.records[0].clone()).unwrap()).is_err());
}
