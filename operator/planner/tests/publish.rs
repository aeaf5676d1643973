//! The status of a TrainingRun: what it says of a simulated run, within its bounds, and that it changes only with what it is of.
#![allow(clippy::unwrap_used)]
mod sim;

use coalition_crds::conditions::{Condition, Phase, Reason, Time};
use coalition_crds::training_run::{SiteState, TrainingRunStatus};
use coalition_crds::{manifest, validate};
use coalition_planner::publish::{Ids, checkpoint_name, refused, status};
use coalition_planner::resolve::{Beside, resolve};
use coalition_planner::{Millis, RunStatus, plan};
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{Real, RunId, Seq};
use serde_json::{Value, json};
use sim::Sim;

/// Simulated milliseconds that every run here is over by.
const LIMIT: u64 = 4_000_000;

fn now() -> Time {
    serde_json::from_value(json!("2026-11-23T00:00:00Z")).unwrap()
}

fn ids<'a>(run: &'a RunId, now: &'a Time) -> Ids<'a> {
    Ids { run, generation: Some(3), sites_wanted: 2, evaluation: None, stop: None, now }
}

fn condition<'a>(s: &'a TrainingRunStatus, kind: &str) -> &'a Condition {
    s.conditions.iter().find(|c| c.type_ == kind).unwrap()
}

/// Everything that speaks against writing this status, as an API server would say it.
fn refusals(s: &TrainingRunStatus) -> Vec<String> {
    let run = &manifest::read(include_str!("../../../crds/examples/quickstart.yaml")).unwrap().runs[0];
    let mut object = serde_json::to_value(run).unwrap();
    object["status"] = serde_json::to_value(s).unwrap();
    validate::check("TrainingRun", &object, None).iter().map(ToString::to_string).collect()
}

fn decided(sim: &Sim) -> RunStatus {
    plan(&sim.world, Millis(sim.now)).status
}

#[test]
fn a_whole_run_in_the_words_of_the_api() {
    let mut sim = Sim::new(sim::spec::small(2, 20), &[100, 100], 7);
    let (run, now) = (sim.world.setup.run.clone(), now());
    let queued = status(&decided(&sim), &[], &ids(&run, &now));
    assert_eq!((condition(&queued, "Admitted").status.as_str(), queued.epoch), ("False", None));
    assert_eq!(refusals(&queued), Vec::<String>::new());

    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= 6)));
    let planned = decided(&sim);
    let s = status(&planned, &queued.conditions, &ids(&run, &now));
    assert_eq!(refusals(&s), Vec::<String>::new());
    assert_eq!(condition(&s, "Ready").status, "True", "{:?}", s.conditions);
    assert_eq!(condition(&s, "Admitted").status, "True");
    assert_eq!((s.epoch, s.history.as_ref().map(|h| h.seq)), (Some(1), planned.head.map(|h| h.seq.0.cast_signed())));
    let progress = s.progress.as_ref().unwrap();
    assert_eq!((progress.tokens, progress.round), (planned.tokens.cast_signed(), planned.round.0.cast_signed()));
    assert!(progress.percent > 0 && progress.percent < 100, "{progress:?}");
    assert_eq!(s.sites.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["alpha", "beta"]);
    assert!(s.sites_ready.as_deref().is_some_and(|r| r.ends_with("/2")), "{:?}", s.sites_ready);
    // Written again, nothing changes: no write of the same.
    assert_eq!(status(&planned, &s.conditions, &ids(&run, &now)), s);

    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.ended().is_some())));
    let over = status(&decided(&sim), &s.conditions, &ids(&run, &now));
    assert_eq!(condition(&over, "Complete").status, "True");
    assert_eq!(condition(&over, "CheckpointConsistent").status, "True");
    assert_eq!(over.progress.unwrap().percent, 100);
    assert!(over.sites.iter().all(|l| l.state == SiteState::Finished), "{:?}", over.sites);
    let checkpoint = over.checkpoint.unwrap();
    assert_eq!((checkpoint.consistent, checkpoint.tokens_since, checkpoint.copies.len()), (true, 0, 2));
    assert_eq!(checkpoint.name, format!("{run}-{}", checkpoint.seq));
}

#[test]
fn numbers_are_short_decimals_and_texts_fit() {
    let sim = Sim::new(sim::spec::small(2, 20), &[100, 100], 7);
    let (run, now) = (sim.world.setup.run.clone(), now());
    let mut planned = decided(&sim);
    planned.loss = Real::new(2.914_000_000_1).ok();
    planned.tokens_per_second = Real::new(411_999.7).ok();
    (planned.tokens, planned.budget) = (u64::MAX, u64::MAX);
    let line = planned.sites[0].clone();
    planned.sites = (0..80)
        .map(|n| {
            let mut line = line.clone();
            line.site = format!("s{n:03}").parse().unwrap();
            line.state = if n < 70 { SiteState::Training } else { SiteState::Idle };
            (line.waiting_for, line.next) = ("w".repeat(300), "n".repeat(300));
            line
        })
        .collect();
    planned.message = "m".repeat(5000);
    let measured = Evaluation { of: Seq(1), loss: Real::ZERO, bits_per_byte: Real::new(1.0 / 3.0).unwrap() };
    let s = status(&planned, &[], &Ids { evaluation: Some(&measured), ..ids(&run, &now) });
    assert_eq!(refusals(&s), Vec::<String>::new());
    let p = s.progress.as_ref().unwrap();
    let told = [p.loss.as_deref(), p.tokens_per_second.as_deref(), p.bits_per_byte.as_deref()];
    assert_eq!(told, [Some("2.9140"), Some("412000"), Some("0.3333")]);
    assert_eq!((p.tokens, p.percent), (i64::MAX, 100));
    assert_eq!(s.sites.len(), 64, "members first");
    assert!(s.sites.iter().all(|l| l.state == SiteState::Training));
    assert!(s.sites[0].next.ends_with('…') && s.sites[0].next.chars().count() > 50, "{}", s.sites[0].next);
    // One site alone says all it has to say, up to the bound of the schema.
    planned.sites.truncate(1);
    assert_eq!(status(&planned, &[], &ids(&run, &now)).sites[0].next.len(), 256);
}

#[test]
fn a_stop_by_annotation_is_not_what_the_spec_asks() {
    let mut sim = Sim::new(sim::spec::small(2, 20), &[100, 100], 7);
    sim.world.suspend = true;
    let (run, now) = (sim.world.setup.run.clone(), now());
    let planned = decided(&sim);
    assert_eq!((planned.phase, planned.reason), (Phase::Suspended, Reason::SuspendRequested));
    let asked = status(&planned, &[], &ids(&run, &now));
    assert_eq!(
        (condition(&asked, "Ready").status.as_str(), condition(&asked, "Stalled").status.as_str()),
        ("True", "False")
    );
    let stopped = status(&planned, &[], &Ids { stop: Some("the bill"), ..ids(&run, &now) });
    let ready = condition(&stopped, "Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "StopRequested"));
    assert!(ready.message.ends_with("stopped by annotation coalition.training/stop: the bill"), "{}", ready.message);
    assert_eq!(condition(&stopped, "Stalled").status, "True");
    assert_eq!(condition(&stopped, "Suspended").status, "True");
}

#[test]
fn what_cannot_be_trained_is_stalled_with_field_value_bound_and_way_out() {
    let text = include_str!("../../../crds/examples/quickstart.yaml");
    let of = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let objects = manifest::examine(&text.replace(from, to)).objects;
        let unresolved = resolve(&objects.runs[0], &Beside::policy(objects.policy_of(&objects.runs[0]))).unwrap_err();
        let (run, now) = ("quickstart".parse().unwrap(), now());
        let before = TrainingRunStatus { sites_ready: Some("1/2".to_owned()), ..TrainingRunStatus::default() };
        let s = refused(&unresolved, &before, &ids(&run, &now));
        assert_eq!(refusals(&s), Vec::<String>::new());
        assert_eq!((s.sites_ready.as_deref(), condition(&s, "Stalled").status.as_str()), (Some("1/2"), "True"));
        let ready = condition(&s, "Ready");
        (ready.reason.clone(), ready.message.clone())
    };
    let (reason, message) = of("preset: llama-tiny-bytes", "preset: lama");
    assert_eq!(reason, "InvalidSpec");
    assert!(message.starts_with("spec.model.preset: lama: is not a preset of this version. Use one of"), "{message}");
    assert_eq!(of("checkpointPolicyRef: {name: quickstart}", "checkpointPolicyRef: {name: gone}").0, "PolicyMissing");
    let (reason, message) = of("init: {seed: 1}", "init: {from: {checkpoint: other-50}}");
    assert_eq!(reason, "CheckpointUnusable");
    assert!(
        message.contains("spec.model.init.from.checkpoint: other-50: is not a Checkpoint in namespace"),
        "{message}"
    );
}

#[test]
fn the_name_of_a_checkpoint_is_a_name() {
    let long: RunId = "r".repeat(63).parse().unwrap();
    let other: RunId = format!("{}s", "r".repeat(62)).parse().unwrap();
    assert_eq!(checkpoint_name(&"mine".parse().unwrap(), Seq(50)), "mine-50");
    let names = [(&long, 1), (&other, 1), (&long, (1 << 53) - 1)].map(|(run, seq)| checkpoint_name(run, Seq(seq)));
    for name in &names {
        assert!(name.parse::<RunId>().is_ok(), "{name} is no DNS label");
    }
    assert!(names[0] != names[1] && names[0] != names[2], "{names:?}");
}

#[test]
fn foreign_keys_do_not_make_a_run_too_large_for_an_object() {
    let mut objects = manifest::read(include_str!("../../../crds/examples/quickstart.yaml")).unwrap();
    let policy = objects.policy_of(&objects.runs[0]).cloned();
    let run = &mut objects.runs[0];
    run.spec.model.preset = None;
    let config: Value = json!({"vocab_size": 258, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 512, "chat_template": "x".repeat(25_000)});
    run.spec.model.config = Some(serde_json::from_value(config).unwrap());
    let found: Vec<String> =
        resolve(run, &Beside::policy(policy.as_ref())).unwrap_err().problems.iter().map(ToString::to_string).collect();
    let told = |p: &String| p.starts_with("spec.model.config: ") && p.contains("must be at most 24576 bytes");
    assert!(found.iter().any(told), "{found:#?}");
}
