//! Manifests: what is read, and how problems are told.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::manifest::read;
use coalition_crds::{TrainingRun, validate};
use rstest::rstest;
use serde_json::{Value, json};

/// The manifest that the README begins with: two objects, comments, both ways to write a mapping.
const QUICKSTART: &str = include_str!("../examples/quickstart.yaml");

fn problems(text: &str) -> Vec<String> {
    read(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_may_hold_several_objects() {
    let objects =
        read(&format!("---\n{QUICKSTART}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: research}}\n---\n"))
            .unwrap();
    assert_eq!((objects.runs.len(), objects.policies.len()), (1, 1));
    assert_eq!(objects.others, ["Namespace/research"]);
    let run = &objects.runs[0];
    assert_eq!(objects.policy_of(run).unwrap().metadata.name.as_deref(), Some("quickstart"));
    let line = objects.line("TrainingRun/quickstart", "spec.training.batchTokens").unwrap();
    let wanted = format!("---\n{QUICKSTART}").lines().position(|l| l.contains("batchTokens:")).unwrap() + 1;
    assert_eq!(line, wanted as u64);
}

#[test]
fn json_is_read_as_well() {
    let run = serde_json::to_string(&read(QUICKSTART).unwrap().runs[0]).unwrap();
    assert_eq!(read(&run).unwrap().runs, read(QUICKSTART).unwrap().runs);
}

#[rstest]
#[case::yaml("sites:\n    min: 1", "sites:\n  - min: 1\n   x", "spec.sites.min: the file is not valid YAML at column ")]
#[case::newer(
    "apiVersion: coalition.training/v1alpha1\nkind: TrainingRun",
    "apiVersion: coalition.training/v1beta1\nkind: TrainingRun",
    "apiVersion: coalition.training/v1beta1: this tool knows v1alpha1 and no other version. Install the version"
)]
#[case::version(
    "apiVersion: coalition.training/v1alpha1\nkind: TrainingRun",
    "kind: TrainingRun",
    "apiVersion: is missing. Add `apiVersion: coalition.training/v1alpha1`."
)]
#[case::kind(
    "kind: TrainingRun",
    "kind: TrainingRuns",
    "kind: TrainingRuns: is not a kind that this version knows. Did you mean TrainingRun?"
)]
#[case::other_kind("kind: TrainingRun", "kind: Job", "kind: Job: is not a kind that this version knows. Use one of ")]
#[case::hub("kind: CheckpointPolicy", "kind: RunHistory", "is written by the hub, not by people")]
#[case::name(
    "metadata:\n  name: quickstart\nspec:\n  sites",
    "metadata: {}\nspec:\n  sites",
    "metadata.name: is missing. Name the object, such as quickstart."
)]
#[case::capital(
    "name: quickstart\nspec:\n  sites",
    "name: Quickstart\nspec:\n  sites",
    "metadata.name: \"Quickstart\": must consist of lowercase letters"
)]
#[case::twice(
    "batchTokens: ",
    "batchTokens: 1k\n    batchTokens: ",
    "spec.training.batchTokens: stands twice: on line 31 and on line 32. Remove one of the two."
)]
#[case::nan("lr: 3.0e-3", "lr: .nan", "spec.training.optimizer.lr: \".nan\": must be a finite number")]
#[case::infinite("lr: 3.0e-3", "lr: .inf", "must be a finite number")]
#[case::huge("seed: 1}", "seed: 123456789012345678901234567890}", "spec.model.init.seed")]
#[case::quoted(
    "workers: 2",
    "workers: \"2\"",
    "spec.siteTemplates[0].workers: \"2\": must be a whole number. Write it without quotes"
)]
#[case::unit(
    "replaceAfterSeconds: 120",
    "replaceAfterSeconds: 2m",
    "spec.sites.replaceAfterSeconds: \"2m\": must be a whole number of seconds. Write it without quotes and unit, such as 120."
)]
#[case::scalar(
    "sites:\n    min: 1                      # goes on with one site\n    max: 2\n    replaceAfterSeconds: 120",
    "sites: two",
    "spec.sites: \"two\": must be a mapping"
)]
fn what_is_wrong_is_told_with_its_place(#[case] from: &str, #[case] to: &str, #[case] want: &str) {
    assert!(QUICKSTART.contains(from), "the quick start no longer contains {from:?}");
    let found = problems(&QUICKSTART.replacen(from, to, 1));
    let hit = found.iter().find(|p| p.contains(want)).unwrap_or_else(|| panic!("{want:?} is not in {found:#?}"));
    assert!(hit.starts_with("line "), "{hit}");
}

#[test]
fn lines_are_those_of_the_file() {
    let text = QUICKSTART.replace("workers: 2", "wrokers: 2");
    let line = text.lines().position(|l| l.contains("wrokers")).unwrap() + 1;
    let found = problems(&text);
    assert!(
        found.iter().any(|p| p.starts_with(&format!(
            "line {line}: TrainingRun/quickstart: spec.siteTemplates[0].wrokers: is not a field"
        )) && p.ends_with("Did you mean workers?")),
        "{found:#?}"
    );
}

#[test]
fn an_empty_file_and_a_foreign_one() {
    for text in ["", "---\n", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"] {
        assert!(problems(text)[0].contains("holds no TrainingRun and no CheckpointPolicy"), "{text:?}");
    }
}

#[test]
fn nothing_that_is_read_panics() {
    // Every prefix of the example, and every single byte of it replaced.
    for cut in (0..QUICKSTART.len()).step_by(97) {
        let _ = read(&QUICKSTART[..cut]);
        for with in ["\0", "{", "\t", "- ", "&a *a", "é"] {
            let mut text = QUICKSTART.to_owned();
            text.replace_range(cut..=cut, with);
            let _ = read(&text);
        }
    }
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(problems(&"x".repeat(2 << 20))[0].contains("must be at most 1048576 bytes"));
}

/// Applying an object again changes nothing, though hyperparameters are floating-point numbers: what is read, written
/// and read again has the same bits, and the update is accepted.
#[test]
fn applying_again_changes_nothing() {
    let objects = read(QUICKSTART).unwrap();
    let mut run: TrainingRun = objects.runs[0].clone();
    // Numbers whose shortest decimals are long.
    run.spec.training.optimizer.lr = 0.1 + 0.2;
    run.spec.training.optimizer.eps = f64::from_bits(0x3e45_798e_e230_8c3a);
    run.spec.training.outer.optimizer.lr = 2.0 / 3.0;
    let mut stored: Value = serde_json::to_value(&run).unwrap();
    for _ in 0..3 {
        let text = serde_json::to_string(&stored).unwrap();
        let again: TrainingRun = serde_json::from_str(&text).unwrap();
        assert_eq!(again, run);
        let next = validate::complete("TrainingRun", &serde_json::to_value(&again).unwrap());
        assert_eq!(next, stored, "defaults were already there");
        assert_eq!(validate::check("TrainingRun", &next, Some(&stored)), vec![]);
        stored = next;
    }
}

#[test]
fn defaults_are_filled_in_as_the_server_does() {
    let run = &read(include_str!("../examples/one-site.yaml")).unwrap().runs[0];
    let spec = serde_json::to_value(&run.spec).unwrap();
    assert_eq!(spec["sites"]["min"], 1);
    assert_eq!(spec["siteTemplates"][0]["cpuThreads"], 1);
    assert_eq!(spec["training"]["optimizer"]["betas"], json!([0.9, 0.95]));
    assert_eq!(spec["training"]["outer"]["grace"], "auto");
    assert_eq!(spec["failurePolicy"]["rules"].as_array().unwrap().len(), 2);
}
