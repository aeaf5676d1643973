//! Late work that died with its process (D18): a plan that gives nothing else is waited for once, then the work is dropped and
//! the run goes on. Faults are aimed at the end of the budget, where such plans are made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod sim;

use coalition_planner::{Millis, plan};
use coalition_protocol::Seq;
use coalition_protocol::record::{Body, Part, Plan};
use sim::{Fault, Sim};

/// Simulated milliseconds a case may take: what is waited for is waited for `sites.replaceAfterSeconds`, 15 s, a few times
/// over, or until a site is back after 30 s. Of two sites, one may be away for ever.
const ENOUGH: u64 = 240_000;
/// Longer than any run here, milliseconds.
const FOR_EVER: u64 = 100 * ENOUGH;

/// What becomes of the site that is not the victim.
#[derive(Clone, Copy, Debug)]
struct Other {
    /// After the commit that leaves the victim out, milliseconds.
    after: u64,
    away: u64,
    loses_store: bool,
}

/// One case: the trainer of `victim` dies in the last round but for `extra` positions, for `first` ms, perhaps once more,
/// and then something happens to the other site.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    victim: usize,
    extra: u64,
    first: u64,
    again: bool,
    other: Other,
}

fn run(c: Case) -> (Sim, bool) {
    let mut spec = sim::spec::small(2, 6);
    spec.training.tokens += c.extra * spec.data.sequence_length as u64;
    let mut sim = Sim::new(spec, &[100, 100], c.seed);
    // All but the extra positions are committed or in the one open plan.
    assert!(sim.until(ENOUGH, |s| s.view().is_some_and(|v| v.last_round().0 >= 5 && v.open_plans().count() > 0)));
    sim.inflict(Fault::KillTrainer { site: c.victim, millis: c.first });
    let round = sim.view().unwrap().last_round();
    assert!(sim.until(ENOUGH, |s| s.view().unwrap().last_round() > round), "{c:?}");
    let (now, site) = (sim.now, 1 - c.victim);
    if c.again {
        sim.faults.push((now + 200, Fault::KillTrainer { site: c.victim, millis: 300 }));
    }
    let millis = c.other.away;
    let fault = if c.other.loses_store { Fault::LoseStore { site, millis } } else { Fault::Down { site, millis } };
    sim.faults.push((now + c.other.after, fault));
    let done = sim.until(ENOUGH, Sim::ended);
    (sim, done)
}

/// Every plan with the record that closed it, and the members retired while it was open.
fn plans(sim: &Sim) -> Vec<(&Plan, Vec<&str>)> {
    let mut out: Vec<(&Plan, Vec<&str>)> = Vec::new();
    let mut open: Vec<(Seq, usize)> = Vec::new();
    for r in &sim.chain {
        match &r.body {
            Body::Plan(p) => {
                open.push((r.seq, out.len()));
                out.push((p, Vec::new()));
            }
            Body::Members(m) => {
                for (_, n) in &open {
                    out[*n].1.extend(m.retired.iter().map(|x| x.site.as_str()));
                }
            }
            Body::Outer(o) => open.retain(|(seq, _)| *seq != o.plan),
            Body::Step(s) => open.retain(|(seq, _)| *seq != s.plan),
            Body::Void(v) => open.retain(|(seq, _)| !v.plans.contains(seq)),
            _ => {}
        }
    }
    out
}

#[test]
fn late_work_that_died_is_waited_for_once_whoever_else_is_there() {
    let mut cases = Vec::new();
    for (victim, extra) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for first in [3000, 3400, 3800] {
            for (again, after) in [(false, 0), (false, 200), (true, 0), (true, 200)] {
                for (away, loses_store) in [(20_000, false), (FOR_EVER, false), (500, true), (30_000, true)] {
                    let seed = 17 + cases.len() as u64 % 5;
                    let other = Other { after, away, loses_store };
                    cases.push(Case { seed, victim, extra, first, again, other });
                }
            }
        }
    }
    let (mut hang, mut nothing_else, mut orphaned) = (0, 0, 0);
    for case in &cases {
        let (sim, done) = run(*case);
        if done {
            assert_eq!(sim.view().unwrap().tokens(), sim.end(), "D11: {case:?}");
        } else {
            println!("hangs: {case:?}: {}", plan(&sim.world, Millis(sim.now)).status.message);
            hang += 1;
        }
        for (planned, retired) in plans(&sim) {
            let some = planned.parts.iter().any(|p| !p.ranges.is_empty());
            nothing_else += u32::from(!some);
            let left: Vec<&Part> = planned.parts.iter().filter(|p| !retired.contains(&p.site.as_str())).collect();
            let late = !left.is_empty() && left.iter().all(|p| p.ranges.is_empty() && !p.drop_late);
            orphaned += u32::from(some && late);
        }
    }
    println!("{hang} of {} cases hang, seeds 17 to 21", cases.len());
    println!("{nothing_else} plans gave no position; of {orphaned} only the late work of others was left");
    assert_eq!(hang, 0, "of {} cases; each is printed above", cases.len());
    assert!(nothing_else > 0 && orphaned > 0, "the cases no longer meet what they are for");
}
