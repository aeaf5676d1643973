//! The completion script in the shell it is for: sourced, and asked as the shell asks when someone presses Tab.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::path::PathBuf;
use std::process::Command;

use coalition_e2e::programs;
use rstest::rstest;

/// What bash completes the last of `words` to. Its completion function is told the program, the word and the one before it.
const ASK: &str = r#"
    source /dev/stdin || exit 1
    asked="$(complete -p "$1")"
    asked="${asked#*-F }"
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    "${asked%% *}" "$1" "${@: -1}" "${@: -2:1}"
    printf '%s\n' "${COMPREPLY[@]}"
"#;

fn completed(program: &PathBuf, words: &[&str]) -> Vec<String> {
    let script = Command::new(program).args(["completion", "bash"]).output().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &script.stdout).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ASK, "bash"])
        .arg(program.file_name().unwrap())
        .args(words)
        .stdin(std::fs::File::open(file.path()).unwrap());
    let said = bash.output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[rstest]
#[case::of_a_verb(programs::cli(), &["st"], &["status", "stop"])]
#[case::of_an_option(programs::cli(), &["status", "--out"], &["--output"])]
#[case::of_a_value(programs::cli(), &["status", "--output", "j"], &["json"])]
#[case::of_a_verb_of_a_verb(programs::cli(), &["fault", "lose"], &["lose-store"])]
#[case::of_a_trainers_verb(programs::trainer(), &["ge"], &["generate"])]
#[case::of_its_option(programs::trainer(), &["generate", "--te"], &["--temperature"])]
#[case::of_its_verb_of_a_verb(programs::trainer(), &["data", "pre"], &["prepare"])]
#[case::of_an_option_of_that(programs::trainer(), &["data", "prepare", "--held"], &["--held-out"])]
fn bash_completes(#[case] program: anyhow::Result<PathBuf>, #[case] words: &[&str], #[case] expected: &[&str]) {
    assert_eq!(completed(&program.unwrap(), words), expected);
}
