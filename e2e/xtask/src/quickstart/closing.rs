//! The end of the quick start: what was learnt, beside what counting alone learns; a sample; where things lie; what next.

use super::shown;
use crate::{proc, say};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A beginning that Rust sources continue in many ways.
const PROMPT: &str = "pub fn new(";

/// Prints what was learnt and a sample, and returns what the judge of the run said.
pub fn show(programs: &Path, run: &Path, data: &Path) -> Result<Value> {
    say::title("4 of 5: what it learnt");
    let mut judge = Command::new(programs.join("coalition-e2e"));
    judge.arg("learnt").arg(run).arg(data);
    let said: Value = serde_json::from_str(&proc::capture(&mut judge, "judge what was learnt")?)
        .context("the judge of the run printed no JSON")?;
    for line in table(&said)?.into_iter().chain(rounds(&said)).chain(returns(&said)) {
        say::line(&line);
    }

    say::title("5 of 5: what it writes");
    let text =
        |field: &str| said[field].as_str().map(str::to_owned).with_context(|| format!("the run names no {field}"));
    let store = text("store")?;
    text("checkpoint")?;
    let mut generate = Command::new(programs.join("coalition-trainer"));
    generate.args(["generate", "--store", &format!("file://{store}"), "--run", &text("run")?, "--data"]).arg(data);
    generate.args(["--prompt", PROMPT, "--length", "200"]);
    shown(&mut generate, "write a sample")?;
    Ok(said)
}

/// Prints where things lie and what to try next, of a run that showed what it should.
pub fn lies(said: &Value, programs: &Path, run: &Path, data: &Path) {
    say::title("where it lies");
    for line in next(programs, said["checkpoint"].as_str().unwrap_or("?"), run, data) {
        say::line(&line);
    }
}

/// Bits per byte on the held-out files, before and after, beside the counting models.
fn table(said: &Value) -> Result<Vec<String>> {
    let number =
        |v: &Value, field: &str| v[field].as_f64().with_context(|| format!("the judge of the run gave no `{field}`"));
    let counted = &said["counted"];
    let orders: Vec<f64> =
        counted["orders"].as_array().map(|list| list.iter().filter_map(Value::as_f64).collect()).unwrap_or_default();
    let best =
        orders.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).context("the judge of the run gave no `orders`")?;
    let after = number(said, "after")?;
    let third = *orders.get(3).context("the judge of the run gave no order 3")?;
    let mark = |bound: f64| if after < bound { "the model needs fewer" } else { "the model needs MORE" };
    Ok(vec![
        format!("bits per byte on held-out files, after {} fed:", say::bytes(number(counted, "bytesFed")? as u64)),
        format!("  {:.3}  before training", number(said, "before")?),
        format!("  {after:.3}  after training"),
        format!("  {third:.3}  counting model of order 3 (Witten-Bell) on the same bytes: {}", mark(third)),
        format!("  {:.3}  the best order up to 6, which is {}: {}", best.1, best.0, mark(*best.1)),
    ])
}

/// What each site had in the rounds, and how many sites told the same digest of the state after each.
fn rounds(said: &Value) -> Vec<String> {
    let all = &said["rounds"];
    let mut lines = vec![format!("{all} rounds were committed:")];
    for share in said["sites"].as_array().map(Vec::as_slice).unwrap_or_default() {
        lines.push(format!(
            "  {:<6} had a part in {} of them; its longest wait for a commit was {:.1} s",
            share["site"].as_str().unwrap_or("?"),
            share["contributed"],
            share["longestWait"].as_f64().unwrap_or(f64::NAN)
        ));
    }
    for (sites, rounds) in said["agreedBy"].as_object().into_iter().flatten() {
        lines.push(match sites.as_str() {
            "0" => format!("  after {rounds} of them nobody has told a digest of the state"),
            "1" => format!("  after {rounds} of them one site told the state's digest, the other being away or behind"),
            n => format!("  after {rounds} of them {n} sites told the same digest of the state"),
        });
    }
    lines
}

/// How the lost site came back.
fn returns(said: &Value) -> Vec<String> {
    let all = said["returns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |back: &Value| {
        let (site, how) = (back["site"].as_str().unwrap_or("a site"), back["how"].as_str().unwrap_or("?"));
        let meaning = match how {
            "exact" => "from its own checkpoint, bit for bit",
            "outer" => "from the committed state",
            _ => "from its own checkpoint, in another shape",
        };
        format!("{site} was killed and came back at its step {}: {how} ({meaning})", back["step"])
    };
    all.iter().map(line).collect()
}

fn next(programs: &Path, checkpoint: &str, run: &Path, data: &Path) -> Vec<String> {
    let word = |path: &Path| proc::quoted(&path.display().to_string());
    let (tool, run, data) = (word(&programs.join("kubectl-coalition")), word(run), word(data));
    vec![
        format!("checkpoint   {checkpoint}"),
        format!("history      {run}/hub/history"),
        "open it      (README, \"Train something of your own\", has the versions and how to write text there)"
            .to_owned(),
        "  python3 -c 'from transformers import AutoModelForCausalLM; \\".to_owned(),
        format!("    print(AutoModelForCausalLM.from_pretrained(\"{checkpoint}\"))'"),
        String::new(),
        "try next".to_owned(),
        format!("  {tool} status {run}"),
        format!("  {tool} why {run}"),
        format!("  {tool} logs north {run}"),
        "  sed 's/name: quickstart/name: mine/' crds/examples/quickstart.yaml > my.yaml    # and change a number, then"
            .to_owned(),
        format!("  {tool} local my.yaml --data rust={data}"),
        format!("  {} data prepare --help    # train on your own text", word(&programs.join("coalition-trainer"))),
        "  cargo xtask test    # every check of the project".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rounds_are_told_by_site_and_by_agreement() {
        let site = |name: &str, n: u64| json!({"site": name, "contributed": n, "longestWait": 5.04});
        let said = json!({"rounds": 9, "sites": [site("north", 9), site("south", 6)], "agreedBy": {"1": 2, "2": 7}});
        let text = rounds(&said).join("\n");
        assert!(text.contains("north  had a part in 9 of them; its longest wait for a commit was 5.0 s"), "{text}");
        assert!(text.contains("after 7 of them 2 sites told the same digest"), "{text}");
    }

    #[test]
    fn the_verdict_follows_the_numbers() {
        let said = |after: f64| {
            let counted = json!({"bytesFed": 3_000_000, "orders": [4.9, 3.8, 2.9, 2.2, 2.1, 2.15, 2.3]});
            json!({"before": 8.1, "after": after, "counted": counted})
        };
        let text = table(&said(1.9)).unwrap().join("\n");
        assert_eq!(text.matches("fewer").count(), 2, "{text}");
        assert!(text.contains("which is 4"), "{text}");
        let text = table(&said(2.15)).unwrap().join("\n");
        assert_eq!((text.matches("fewer").count(), text.matches("MORE").count()), (1, 1), "{text}");
        assert!(table(&json!({})).is_err());
    }
}
