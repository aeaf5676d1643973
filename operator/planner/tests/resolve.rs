//! From manifests to runs that can be trained, and the messages for those that cannot.
#![allow(clippy::unwrap_used)]
use coalition_crds::manifest;
use coalition_planner::resolve::resolve;
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
    let unresolved = resolve(run, objects.policy_of(run)).err();
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
    let spec = resolve(run, objects.policy_of(run)).unwrap();
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
        resolve(&objects.runs[0], objects.policy_of(&objects.runs[0])).unwrap()
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
    let found = resolve(run, examined.objects.policy_of(run)).unwrap_err().problems;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("spec.training.optimizer.betas: [0.9]: must have exactly two entries"), "{found:#?}");
}

/// What a site is asked carries the resolved run as an API server gives it back: numbers that are whole without a fraction.
#[test]
fn a_resolved_run_is_read_back_from_its_canonical_form() {
    let objects = manifest::read(QUICKSTART).unwrap();
    let spec = resolve(&objects.runs[0], objects.policy_of(&objects.runs[0])).unwrap();
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
