//! Decisions about a gang's pods: the rungs one by one, and what holds in every generated world.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use std::collections::BTreeMap;

use coalition_planner::Millis;
use coalition_planner::gang::{End, Intent, Memory, Node, Observed, Pod, State, Wanted, plan};
use proptest::prelude::*;

fn pod(index: u32, birth: i64, state: State) -> Pod {
    let name = format!("run-{index}-{birth}");
    let uid = format!("uid-{name}");
    let node = (state != State::Pending).then(|| format!("node-{index}"));
    Pod { index, birth, name, uid, image: "trainer:1".into(), state, leaving: false, node, joined: false }
}

fn observed(pods: Vec<Pod>) -> Observed {
    let mut births = BTreeMap::new();
    for p in &pods {
        let newest = births.entry(p.index).or_insert(p.birth);
        *newest = p.birth.max(*newest);
    }
    let nodes = (0..4).map(|n| (format!("node-{n}"), Node::Ready)).collect();
    let (wanted, hold, image) = (Wanted::Run, false, "trainer:1".into());
    Observed { workers: 2, wanted, hold, image, grace_seconds: 30, births, pods, nodes }
}

fn joined(index: u32, birth: i64, state: State) -> Pod {
    Pod { joined: true, ..pod(index, birth, state) }
}

fn create(index: u32, birth: i64) -> Intent {
    Intent::Create { index, birth }
}

fn delete(p: &Pod, force: bool) -> Intent {
    Intent::Delete { name: p.name.clone(), uid: p.uid.clone(), force }
}

fn tell(p: &Pod, end: End) -> Intent {
    Intent::Tell { index: p.index, birth: p.birth, name: p.name.clone(), end }
}

/// What an API server makes of a plan, at once.
fn apply(o: &mut Observed, intents: &[Intent]) {
    for intent in intents {
        match intent {
            Intent::Tell { .. } => {}
            Intent::Create { index, birth } => {
                assert!(o.births.insert(*index, *birth).is_none_or(|b| b < *birth), "a birth is used again");
                let image = o.image.clone();
                o.pods.push(Pod { image, ..pod(*index, *birth, State::Pending) });
            }
            Intent::Delete { uid, force, .. } => {
                let ended = |p: &Pod| *force || p.state == State::Pending || matches!(p.state, State::Ended(_));
                o.pods.retain(|p| p.uid != *uid || !ended(p));
                o.pods.iter_mut().filter(|p| p.uid == *uid).for_each(|p| p.leaving = true);
            }
        }
    }
}

#[test]
fn a_gang_without_pods_gets_them_all_and_one_that_trains_is_left_alone() {
    let mut memory = Memory::default();
    let mut o = observed(vec![]);
    assert_eq!(plan(&o, &mut memory, Millis(0)).intents, [create(0, 1), create(1, 1)]);
    o = observed(vec![joined(0, 1, State::Running), joined(1, 1, State::Running)]);
    assert_eq!(plan(&o, &mut memory, Millis(0)).intents, []);
    o.hold = true;
    o.pods.clear();
    assert_eq!(plan(&o, &mut memory, Millis(0)).intents, [], "on hold nothing starts");
}

#[test]
fn a_pod_that_worked_is_replaced_at_once() {
    for end in [End::Exited(137), End::Exited(143), End::Lost] {
        let dead = joined(1, 3, State::Ended(end));
        let o = observed(vec![joined(0, 1, State::Running), dead.clone()]);
        let p = plan(&o, &mut Memory::default(), Millis(5));
        assert_eq!(p.intents, [tell(&dead, end), create(1, 4), delete(&dead, false)]);
    }
}

#[test]
fn a_pod_that_dies_before_it_joins_is_followed_after_a_pause_that_doubles() {
    let mut memory = Memory::default();
    let (mut now, mut pauses) = (Millis(0), Vec::new());
    for birth in 1..=9 {
        let dead = pod(1, birth, State::Ended(End::Exited(64)));
        let o = observed(vec![joined(0, 1, State::Running), dead.clone()]);
        let first = plan(&o, &mut memory, now);
        assert_eq!(first.intents, [tell(&dead, End::Exited(64))]);
        let due = first.next_deadline.expect("a pause");
        assert_eq!(plan(&o, &mut memory, Millis(due.0 - 1)).intents, [], "told once, and too early");
        assert_eq!(plan(&o, &mut memory, due).intents, [create(1, birth + 1), delete(&dead, false)]);
        pauses.push(due.since(now) / 1000);
        now = due;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // One that joins ends the series.
    let o = observed(vec![joined(0, 1, State::Running), joined(1, 10, State::Running)]);
    assert_eq!(plan(&o, &mut memory, now).intents, []);
    let dead = pod(1, 11, State::Ended(End::Exited(64)));
    let o = observed(vec![joined(0, 1, State::Running), dead]);
    assert_eq!(plan(&o, &mut memory, now).next_deadline, Some(now.plus(1000)));
}

#[test]
fn a_pod_on_a_silent_node_is_replaced_at_once_and_one_on_an_unknown_node_is_not() {
    let (a, b) = (joined(0, 1, State::Running), joined(1, 1, State::Running));
    for (node, force) in [(Node::Silent, false), (Node::Gone, true)] {
        let mut o = observed(vec![a.clone(), b.clone()]);
        o.nodes.insert("node-1".into(), node);
        let p = plan(&o, &mut Memory::default(), Millis(0));
        assert_eq!(p.intents, [tell(&b, End::Lost), create(1, 2), delete(&b, force)]);
        o.nodes.remove("node-1");
        assert_eq!(plan(&o, &mut Memory::default(), Millis(0)).intents, [], "unknown is not gone");
    }
}

#[test]
fn a_pod_that_somebody_deletes_saves_first_and_no_longer_than_its_grace() {
    let going = Pod { leaving: true, ..joined(1, 1, State::Running) };
    let mut o = observed(vec![joined(0, 1, State::Running), going.clone()]);
    let mut memory = Memory::default();
    let p = plan(&o, &mut memory, Millis(100));
    assert_eq!((p.intents, p.next_deadline), (vec![], Some(Millis(30_100))));
    let late = plan(&o, &mut memory.clone(), Millis(30_100));
    assert_eq!(late.intents, [tell(&going, End::Lost), create(1, 2)]);
    o.pods[1].state = State::Ended(End::Exited(143));
    assert_eq!(plan(&o, &mut memory.clone(), Millis(900)).intents, [tell(&going, End::Exited(143)), create(1, 2)]);
    o.pods.pop();
    assert_eq!(plan(&o, &mut memory, Millis(900)).intents, [create(1, 2)], "forced away");
}

#[test]
fn workers_leave_by_themselves_and_are_deleted_after_their_grace() {
    let (a, b) = (joined(0, 1, State::Running), pod(1, 1, State::Pending));
    let o = Observed { wanted: Wanted::Leave, ..observed(vec![a.clone(), b.clone()]) };
    let mut memory = Memory::default();
    let p = plan(&o, &mut memory, Millis(7));
    assert_eq!((p.intents, p.next_deadline), (vec![delete(&b, false)], Some(Millis(30_007))));
    assert_eq!(plan(&o, &mut memory, Millis(30_007)).intents[0], delete(&a, false));
    let stop = Observed { wanted: Wanted::Stop, ..o.clone() };
    assert_eq!(plan(&stop, &mut memory, Millis(8)).intents, [delete(&a, false), delete(&b, false)]);
    let kill = Observed { wanted: Wanted::Kill, ..o };
    assert_eq!(plan(&kill, &mut memory, Millis(8)).intents, [delete(&a, true), delete(&b, true)]);
}

#[test]
fn another_image_comes_with_the_next_start_and_to_all_workers() {
    let (a, b) = (joined(0, 1, State::Running), joined(1, 1, State::Running));
    let mut o = observed(vec![a.clone(), b.clone()]);
    o.image = "trainer:2".into();
    assert_eq!(plan(&o, &mut Memory::default(), Millis(0)).intents, [], "nobody is stopped for it");
    o.pods[1].state = State::Ended(End::Exited(1));
    let p = plan(&o, &mut Memory::default(), Millis(0));
    let expected = [tell(&b, End::Exited(1)), create(1, 2), create(0, 2), delete(&a, false), delete(&b, false)];
    assert_eq!(p.intents, expected);
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Pending),
        Just(State::Running),
        (0i32..256).prop_map(|c| State::Ended(End::Exited(c))),
        Just(State::Ended(End::Lost)),
    ]
}

fn any_pod() -> impl Strategy<Value = Pod> {
    (0u32..5, 1i64..4, state(), any::<(bool, bool, bool)>()).prop_map(
        |(index, birth, state, (leaving, joined, old))| {
            let image = if old { "trainer:0" } else { "trainer:1" }.to_owned();
            Pod { leaving, joined, image, ..pod(index, birth, state) }
        },
    )
}

prop_compose! {
    fn any_world()(
        pods in prop::collection::btree_map((0u32..5, 1i64..4), any_pod(), 0..8),
        extra in prop::collection::vec(0i64..2, 5),
        workers in 1u32..4,
        wanted in prop::sample::select(vec![Wanted::Run, Wanted::Leave, Wanted::Stop, Wanted::Kill]),
        hold in any::<bool>(),
        nodes in prop::collection::vec(prop::option::of(prop::sample::select(vec![Node::Ready, Node::Silent, Node::Gone])), 5),
    ) -> Observed {
        let place = |((index, birth), p): ((u32, i64), Pod)| Pod { image: p.image, leaving: p.leaving, joined: p.joined, ..pod(index, birth, p.state) };
        let mut o = observed(pods.into_iter().map(place).collect());
        // A birth that was noted and whose pod is gone, or never came.
        for (birth, extra) in o.births.values_mut().zip(extra) {
            *birth += extra;
        }
        o.nodes = nodes.into_iter().enumerate().filter_map(|(n, s)| s.map(|s| (format!("node-{n}"), s))).collect();
        Observed { workers, wanted, hold, ..o }
    }
}

proptest! {
    #[test]
    fn what_was_done_is_not_asked_again(o in any_world(), now in 0u64..100_000) {
        let (mut o, mut memory) = (o, Memory::default());
        // Pauses and graces end as time passes; between two of them a plan that was carried out leaves nothing to do.
        let mut now = Millis(now);
        for _ in 0..4 {
            let p = plan(&o, &mut memory, now);
            apply(&mut o, &p.intents);
            let next = plan(&o, &mut memory, now);
            prop_assert_eq!(next.intents, vec![]);
            now = now.plus(70_000);
        }
    }

    #[test]
    fn one_current_birth_a_worker_and_only_what_is_seen_is_deleted(o in any_world(), now in 0u64..100_000) {
        let p = plan(&o, &mut Memory::default(), Millis(now));
        let mut created = Vec::new();
        for intent in &p.intents {
            match intent {
                Intent::Create { index, birth } => {
                    prop_assert!(o.wanted == Wanted::Run && !o.hold && *index < o.workers);
                    prop_assert!(!created.contains(index), "two births of one worker");
                    prop_assert!(o.pods.iter().filter(|p| p.index == *index).all(|p| p.birth < *birth));
                    prop_assert!(o.births.get(index).is_none_or(|b| b < birth));
                    created.push(*index);
                }
                Intent::Delete { name, uid, .. } => {
                    prop_assert!(o.pods.iter().any(|p| p.name == *name && p.uid == *uid));
                }
                Intent::Tell { index, birth, .. } => prop_assert_eq!(o.births.get(index), Some(birth)),
            }
        }
        // While it shall train, a worker's living pod on a node that answers is never deleted but for another image.
        for pod in (0..o.workers).filter_map(|i| o.current(i)) {
            let lives = pod.state == State::Running && !pod.leaving && pod.image == o.image;
            let node = pod.node.as_ref().and_then(|n| o.nodes.get(n)).copied().unwrap_or(Node::Ready);
            if o.wanted == Wanted::Run && lives && node == Node::Ready {
                let deleted = p.intents.contains(&delete(pod, false)) || p.intents.contains(&delete(pod, true));
                prop_assert!(!deleted, "a pod that trains was deleted");
            }
        }
    }

    #[test]
    fn the_order_in_which_pods_are_seen_does_not_matter(o in any_world(), now in 0u64..100_000) {
        let mut turned = o.clone();
        turned.pods.reverse();
        let sorted = |o: &Observed| {
            let mut p = plan(o, &mut Memory::default(), Millis(now));
            p.intents.sort_by_key(|i| format!("{i:?}"));
            p
        };
        prop_assert_eq!(sorted(&o), sorted(&turned));
    }
}
