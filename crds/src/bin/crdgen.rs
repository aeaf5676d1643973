//! Writes the definitions of `coalition.training/v1alpha1` into a folder, or checks that the folder holds them.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use coalition_crds::generate;

/// Writes the custom resource definitions as YAML, one file a kind.
#[derive(Parser)]
#[command(
    name = "crdgen",
    version,
    after_help = "Examples:\n  crdgen            write crds/yaml\n  crdgen --check    exit 1 with a diff if a file differs"
)]
struct Args {
    /// Folder of the files.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/yaml"))]
    out: PathBuf,
    /// Write nothing; exit 1 and print what differs if the folder does not hold the definitions.
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut same = true;
    for (name, crd) in generate::all().context("the types do not form a definition")? {
        let text = generate::yaml(&crd)?;
        let path = args.out.join(format!("{name}.yaml"));
        if args.check {
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            if found != text {
                same = false;
                println!("{} differs from the types (- file, + types):", path.display());
                print!("{}", diff(&found, &text));
            }
        } else {
            std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    if !same {
        println!("Run `cargo xtask crds` and commit what it writes, if the change is meant.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines that differ, between the common beginning and the common end: enough to see what changed.
fn diff(old: &str, new: &str) -> String {
    let (a, b): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let mut out = format!("@@ line {} @@\n", head + 1);
    for line in &a[head..a.len() - tail] {
        out += &format!("-{line}\n");
    }
    for line in &b[head..b.len() - tail] {
        out += &format!("+{line}\n");
    }
    out
}
