//! From manifests to runs that can be trained, and the messages for those that cannot.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::manifest;
use coalition_planner::resolve::{Beside, resolve};
use coalition_spec::run::Interval;
use rstest::rstest;

/// What the quick start trains: two sites of different shape.
const QUICKSTART: &str = include_str!("../../../crds/examples/quickstart.yaml");

/// Everything wrong with the run of a manifest, as text.
fn problems(manifest: &str) -> Vec<String> {
    let objects = match manifest::read(manifest) {
        Ok(o) => o,
        Err(p) => return p.iter().map(ToString::to_string).collect(),
    };
    let run = &objects.runs[0];
    let unresolved = resolve(run, &Beside::policy(objects.policy_of(run))).err();
    unresolved.map(|u| u.problems).unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn the_examples_can_be_trained() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(problems(&text), Vec::<String>::new(), "{}", path.display());
    }
    assert!(files.len() >= 3, "{files:?}");
}

#[test]
fn the_quick_start_has_two_sites_of_different_shape() {
    let objects = manifest::read(QUICKSTART).unwrap();
    let run = &objects.runs[0];
    let spec = resolve(run, &Beside::policy(objects.policy_of(run))).unwrap();
    let shape = |site: &str| {
        let labels = [(coalition_crds::names::SITE_LABEL.to_owned(), site.to_owned())].into();
        spec.shape_for(&labels).unwrap().workers
    };
    assert_eq!((shape("north"), shape("south")), (2, 1));
    assert_eq!(coalition_crds::names::pretended_sites(spec.sites.max as usize), ["north", "south"]);
    assert!(matches!(spec.checkpoint.interval, Interval::Steps(_) | Interval::Seconds(_)));
    assert!(spec.training.outer.grace_seconds.is_some(), "the quick start sets a short grace");
    let count = spec.model.config.parameter_count();
    assert!((500_000..1_200_000).contains(&count), "{count} parameters");
}

#[test]
fn resolving_again_gives_the_same_digest_and_mutable_fields_do_not_count_as_identity() {
    let of = |text: &str| {
        let objects = manifest::read(text).unwrap();
        resolve(&objects.runs[0], &Beside::policy(objects.policy_of(&objects.runs[0]))).unwrap()
    };
    let a = of(QUICKSTART);
    let b = of(&QUICKSTART.replace("keep: {everyRounds", "keep:   {everyRounds"));
    assert_eq!(a.digest().unwrap(), b.digest().unwrap());
    let mut more = a.clone();
    more.training.tokens *= 2;
    more.sites.replace_after_seconds += 1;
    assert_ne!(a.digest().unwrap(), more.digest().unwrap());
    assert_eq!(a.identity().unwrap(), more.identity().unwrap());
    more.training.seed += 1;
    assert_ne!(a.identity().unwrap(), more.identity().unwrap());
}

#[rstest]
#[case::preset(
    "preset: llama-tiny-bytes",
    "preset: lama",
    "spec.model.preset: lama: is not a preset of this version. Use one of llama-tiny, "
)]
#[case::family("architecture: llama", "architecture: nemotron", "is a preset of architecture llama")]
#[case::policy(
    "checkpointPolicyRef: {name: quickstart}",
    "checkpointPolicyRef: {name: gone}",
    "spec.checkpointPolicyRef.name: gone: is not a CheckpointPolicy in namespace default"
)]
#[case::long("sequenceLength: 256", "sequenceLength: 2048", "max_position_embeddings = 1024")]
fn what_cannot_be_trained_is_told(#[case] from: &str, #[case] to: &str, #[case] want: &str) {
    assert!(QUICKSTART.contains(from), "the quick start no longer contains {from:?}");
    // A batch that the longest of these sequences divides.
    let text = QUICKSTART.replace(from, to).replace("batchTokens: 2048", "batchTokens: 8192");
    let found = problems(&text);
    assert!(found.iter().any(|p| p.contains(want)), "{want:?} is not in {found:#?}");
}

/// What the API refuses is resolved all the same, for the other checks: a value that is missing is never shown as NaN.
#[test]
fn a_list_of_betas_that_is_too_short_is_told_as_it_stands() {
    let examined = manifest::examine(&QUICKSTART.replace("betas: [0.9, 0.95]", "betas: [0.9]"));
    let run = &examined.objects.runs[0];
    let found = resolve(run, &Beside::policy(examined.objects.policy_of(run))).unwrap_err().problems;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("spec.training.optimizer.betas: [0.9]: must have exactly two entries"), "{found:#?}");
}

/// What a site is asked carries the resolved run as an API server gives it back: numbers that are whole without a fraction.
#[test]
fn a_resolved_run_is_read_back_from_its_canonical_form() {
    let objects = manifest::read(QUICKSTART).unwrap();
    let spec = resolve(&objects.runs[0], &Beside::policy(objects.policy_of(&objects.runs[0]))).unwrap();
    let value = coalition_protocol::canonical::value(&spec).unwrap();
    // The quick start clips at 1.0; plain JSON keeps the fraction, which no API server does.
    assert_eq!(value.pointer("/training/optimizer/clip"), Some(&serde_json::json!(1)));
    assert_ne!(serde_json::to_value(&spec).unwrap(), value);
    assert_eq!(serde_json::from_value::<coalition_spec::RunSpec>(value.clone()).unwrap(), spec);
    let again: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
    assert_eq!(coalition_protocol::canonical::value(&again).unwrap(), value, "and stays as it is");
}

#[test]
fn a_site_gets_the_shape_of_the_first_template_that_matches() {
    let text = QUICKSTART.replacen("  sites:\n", "  trainer: {image: \"a/b:1\"}\n  sites:\n", 1).replacen(
        "      workers: 2\n",
        "      workers: 2\n      resources: {limits: {memory: 4Gi}}\n",
        1,
    );
    let spec = &manifest::read(&text).unwrap().runs[0].spec;
    let of = |site: &str| {
        let labels = [(coalition_crds::names::SITE_LABEL.to_owned(), site.to_owned())].into();
        coalition_planner::shape::of(spec, &labels).unwrap()
    };
    let (north, south) = (of("north"), of("south"));
    assert_eq!((north.workers, south.workers), (2, 1));
    assert_eq!((north.image.as_deref(), south.image.as_deref()), (Some("a/b:1"), Some("a/b:1")));
    assert!(!north.resources.is_empty() && south.resources.is_empty());
    let mut nobodys = spec.clone();
    nobodys.site_templates.truncate(1);
    assert_eq!(coalition_planner::shape::of(&nobodys, &std::collections::BTreeMap::new()), None);
}

mod origin {
    use coalition_crds::TrainingRun;
    use coalition_crds::checkpoint::{Checkpoint, CheckpointSpec, CheckpointStatus, Copy, DeletionPolicy};
    use coalition_crds::training_run::InitFrom;
    use coalition_planner::genesis;
    use coalition_planner::origin::{Adopted, model_digest};
    use coalition_planner::{Millis, Setup, World};
    use coalition_protocol::record::{Body, Origin};
    use coalition_protocol::{Digest, Seq};
    use coalition_spec::RunSpec;

    use super::*;

    /// The quick start's run, begun from checkpoint `mine-50`.
    fn run() -> (manifest::Objects, TrainingRun) {
        let objects = manifest::read(QUICKSTART).unwrap();
        let mut run = objects.runs[0].clone();
        run.spec.model.init.seed = None;
        run.spec.model.init.from = Some(InitFrom { checkpoint: "mine-50".to_owned() });
        (objects, run)
    }

    fn checkpoint(model: &str) -> Checkpoint {
        let spec = CheckpointSpec {
            run: "mine".to_owned(),
            run_id: "mine-0123456789".to_owned(),
            seq: 50,
            state_digest: Digest::of(b"state").to_string(),
            model_digest: model.to_owned(),
            pinned: false,
            deletion_policy: DeletionPolicy::Retain,
        };
        let mut checkpoint = Checkpoint::new("mine-50", spec);
        checkpoint.status =
            Some(CheckpointStatus { copies: vec![Copy { site: "south".to_owned() }], ..CheckpointStatus::default() });
        checkpoint
    }

    fn digest_of_the_model() -> String {
        let objects = manifest::read(QUICKSTART).unwrap();
        let spec = resolve(&objects.runs[0], &Beside::policy(objects.policy_of(&objects.runs[0]))).unwrap();
        model_digest(&spec.model.config).unwrap().to_string()
    }

    fn asked(checkpoint: Option<&Checkpoint>, begun: Option<&Origin>) -> Result<RunSpec, Vec<String>> {
        let (objects, run) = run();
        let beside = Beside { policy: objects.policy_of(&run), adopted: Adopted { checkpoint, begun } };
        resolve(&run, &beside).map_err(|u| u.problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_run_begins_from_the_checkpoint_it_names() {
        let spec = asked(Some(&checkpoint(&digest_of_the_model())), None).unwrap();
        let from = spec.model.init.from.clone().unwrap();
        assert_eq!((from.run.as_str(), from.seq, from.state), ("mine-0123456789", Seq(50), Digest::of(b"state")));
        // Once it has begun the object may go.
        let begun = asked(None, Some(&from)).unwrap();
        assert_eq!(begun.identity().unwrap(), spec.identity().unwrap());
    }

    #[rstest]
    #[case::no_such_object(None, "is not a Checkpoint in namespace")]
    #[case::another_model(Some(checkpoint(&"0".repeat(64))), "is of another model")]
    #[case::no_copy(Some(Checkpoint { status: None, ..checkpoint(&digest_of_the_model()) }), "has no verified copy")]
    #[case::nonsense(
        Some({
            let mut c = checkpoint(&digest_of_the_model());
            c.spec.seq = 0;
            c
        }),
        "names no state that can be adopted"
    )]
    fn one_that_cannot_be_adopted_is_refused_with_the_way_out(#[case] found: Option<Checkpoint>, #[case] why: &str) {
        let problems = asked(found.as_ref(), None).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("spec.model.init.from.checkpoint: mine-50") && problems[0].contains(why),
            "{problems:?}"
        );
    }

    #[test]
    fn it_begins_only_with_a_site_that_has_the_state_and_takes_that_one_first() {
        let mut spec = asked(Some(&checkpoint(&digest_of_the_model())), None).unwrap();
        spec.sites.max = 1;
        spec.sites.min = 1;
        let setup = Setup {
            run: "fork".parse().unwrap(),
            hub_key: "0".repeat(64),
            data: Digest::of(b"data"),
            samples_per_pass: 1000,
            elements: 4096,
        };
        let mut world = World::new(setup, spec, None, "n", Millis(0));
        for site in ["north", "south"] {
            let site = site.parse().unwrap();
            world.add_site(std::clone::Clone::clone(&site), Millis(0));
            world.heard(&site, Millis(0));
        }
        let later = Millis(1_000_000);
        for site in ["north", "south"] {
            world.heard(&site.parse().unwrap(), later);
        }
        assert_eq!(genesis::body(&world, later), None);
        let told = coalition_planner::plan(&world, later).status.message;
        assert!(told.contains("stands at no site of this run"), "{told}");
        world.holders.insert("south".parse().unwrap());
        let Some(Body::Genesis(g)) = genesis::body(&world, later) else { panic!("it does not begin") };
        assert_eq!(g.members.iter().map(|m| m.site.as_str()).collect::<Vec<_>>(), ["south"]);
        assert_eq!(g.origin.unwrap().seq, Seq(50));
    }
}
