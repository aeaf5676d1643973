//! Writes the definitions of `coalition.training/v1alpha1` into a folder, and as templates into the chart's, or checks that
//! the folders hold them.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use coalition_crds::generate;

/// What `--help` prints: all there is to ask for.
const HELP: &str = "\
Writes the custom resource definitions as YAML, one file a kind.

Usage: crdgen [--check] [--out FOLDER] [--chart FOLDER]

  --check         write nothing; exit 1 and print what differs if the folders do not hold the definitions
  --out FOLDER    folder of the files (default: crds/yaml of this source tree)
  --chart FOLDER  folder of the same as templates of a chart (default: charts/coalition-crds/templates/crds)
  --help          print this

Examples:
  crdgen
  crdgen --check";

fn main() -> ExitCode {
    let mut out = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/yaml"));
    let mut chart = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/coalition-crds/templates/crds"));
    let mut check = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--check" => check = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--out" | "--chart" => match (args.next(), arg == "--out") {
                (Some(folder), true) => out = folder.into(),
                (Some(folder), false) => chart = folder.into(),
                (None, _) => return fail(&format!("{arg} needs a folder")),
            },
            other => return fail(&format!("{other:?} is not an argument of crdgen; see --help")),
        }
    }
    let definitions = match generate::all() {
        Ok(d) => d,
        Err(e) => return fail(&format!("the types do not form definitions: {e}")),
    };
    let mut same = true;
    for (name, crd) in definitions {
        for (folder, text) in [(&out, generate::yaml(&crd)), (&chart, generate::template(&crd))] {
            let path = folder.join(format!("{name}.yaml"));
            let done = text
                .map_err(|e| e.to_string())
                .and_then(|text| if check { Ok(compare(&path, &text)) } else { write(&path, &text).map(|()| true) });
            match done {
                Ok(equal) => same &= equal,
                Err(e) => return fail(&format!("{}: {e}", path.display())),
            }
        }
    }
    if same {
        return ExitCode::SUCCESS;
    }
    fail("run `cargo xtask crds` and commit what it writes, if the change is meant")
}

fn fail(message: &str) -> ExitCode {
    eprintln!("crdgen: {message}");
    ExitCode::FAILURE
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).map_err(|e| e.to_string())?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Whether the file holds `text`; prints what differs if not.
fn compare(path: &Path, text: &str) -> bool {
    let found = fs::read_to_string(path).unwrap_or_default();
    if found != text {
        println!("{} differs from the types (- file, + types):", path.display());
        print!("{}", diff(&found, text));
    }
    found == text
}

/// The lines that differ, between the common beginning and the common end: enough to see what changed.
fn diff(old: &str, new: &str) -> String {
    let (a, b): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let mut out = format!("@@ line {} @@\n", head + 1);
    for line in &a[head..a.len() - tail] {
        out.extend(["-", *line, "\n"]);
    }
    for line in &b[head..b.len() - tail] {
        out.extend(["+", *line, "\n"]);
    }
    out
}
