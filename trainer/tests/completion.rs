//! The completion script in the shell it is for: sourced, and asked as the shell asks when someone presses Tab.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::process::Command;

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

fn completed(words: &[&str]) -> Vec<String> {
    let script = Command::new(env!("CARGO_BIN_EXE_coalition-trainer")).args(["completion", "bash"]).output().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &script.stdout).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ASK, "bash", "coalition-trainer"])
        .args(words)
        .stdin(std::fs::File::open(file.path()).unwrap());
    let said = bash.output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_their_options_and_values() {
    assert_eq!(completed(&["ge"]), ["generate"]);
    assert_eq!(completed(&["generate", "--te"]), ["--temperature"]);
    assert_eq!(completed(&["data", "pre"]), ["prepare"]);
    assert_eq!(completed(&["data", "prepare", "--held"]), ["--held-out"]);
}
