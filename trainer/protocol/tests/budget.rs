//! The budget in the fold (D11): what a plan may grant, late work that counts or is dropped, and T at the end of any run of
//! legal records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod chain;

use chain::{Chain, rule_of, site, with_plan};
use coalition_protocol::IntervalSet;
use coalition_protocol::record::{Body, Plan};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever legal records follow each other, T stays within the budget: what the fold refuses is skipped.
    #[test]
    fn t_never_passes_the_budget(moves in prop::collection::vec(any::<u16>(), 1..120), sites in 1usize..5, budget in 1u64..900) {
        let mut c = Chain::new(sites);
        c.budget = budget;
        for m in moves {
            let Some(body) = c.propose(m) else { continue };
            if rule_of(&c, body.clone()) != "D11" {
                c.append(body);
            }
            prop_assert!(c.view.tokens() <= budget.div_ceil(8) * 8, "{} of {budget}", c.view.tokens());
        }
    }
}

#[test]
fn a_plan_that_could_pass_the_budget_is_refused() {
    // Parts of 4 and 5 positions of 8 tokens.
    assert_eq!(with_plan(|p| p.budget = 72), "legal");
    assert_eq!(with_plan(|p| p.budget = 65), "legal", "rounded up to whole samples");
    assert_eq!(with_plan(|p| p.budget = 64), "D11");
    let idle = |p: &mut Plan| {
        for x in &mut p.parts {
            (x.ranges, x.tokens) = (IntervalSet::new(), 0);
        }
    };
    assert_eq!(with_plan(idle), "D9", "nobody has anything to do");
}

#[test]
fn late_work_counts_in_the_budget_until_it_is_dropped() {
    let mut c = Chain::new(2);
    c.append(c.state());
    c.append(c.plan());
    c.append(Body::Outer(c.outer(&[0])));
    // 4 positions are used, 5 are late; the budget has 10.
    let plan = |first: u64, drop: bool| {
        let Body::Plan(mut p) = c.plan() else { panic!() };
        p.budget = 80;
        p.parts[0].ranges = IntervalSet::span(9, 9 + first);
        p.parts[0].tokens = first * 8;
        (p.parts[1].ranges, p.parts[1].tokens, p.parts[1].drop_late) = (IntervalSet::new(), 0, drop);
        Body::Plan(p)
    };
    assert_eq!(rule_of(&c, plan(2, false)), "D11");
    assert_eq!(rule_of(&c, plan(1, false)), "legal");
    assert_eq!(rule_of(&c, plan(7, true)), "D11");
    let (kept, dropped) = (plan(1, false), plan(6, true));
    let before = c.view.clone();
    c.append(kept);
    let Body::Plan(mut another) = c.plan() else { panic!() };
    another.parts[1].drop_late = true;
    assert_eq!(rule_of(&c, Body::Plan(another)), "D18", "only between rounds");
    let last = c.outer(&[0, 1]);
    assert_eq!((last.tokens, last.included[1].tokens), (80, 40), "a contribution of late work alone");
    c.append(Body::Outer(last));
    assert!(c.view.ledger().is_partition());
    c.view = before;
    c.append(dropped);
    assert_eq!((c.view.ledger().leases(&site(1)).count(), c.view.members()[&site(1)].missed), (0, 0));
    let alone = c.outer(&[0]);
    assert_eq!((alone.tokens, alone.left_out.len()), (80, 0), "who has nothing to give is not left out");
    c.append(Body::Outer(alone));
    assert!(c.view.ledger().is_partition());
}
