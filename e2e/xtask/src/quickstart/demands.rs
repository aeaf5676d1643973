//! What a quick start must have shown, beyond programs that end well: the site that was lost came back, the other lost no
//! round and did not wait too long, both agreed, something was learnt. Reads what the judge of the run says, and nothing else.

use anyhow::{Result, bail};
use serde_json::Value;

/// Seconds beyond the grace in which a commit is made, fetched and applied, on two cores that do other things as well.
const SLACK: f64 = 2.0;

/// An error that names everything the run did not show, and `again`, the command to try it anew. `lost` is the site that was
/// killed on the way, `learns` whether the model must beat counting, `grace` in seconds.
pub fn met(said: &Value, lost: &str, learns: bool, grace: f64, again: &str) -> Result<()> {
    let missing = missing(said, lost, learns, grace);
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the run ended, but it did not show what it should:\n  {}\n{}\nrun it again while the machine is idle: `{again}`",
        missing.join("\n  "),
        without(said, lost, grace)
    )
}

/// How often a round went on without a site, and what that says of the machine.
fn without(said: &Value, lost: &str, grace: f64) -> String {
    let rounds = said["rounds"].as_u64().unwrap_or(0);
    let share = |site: &Value| {
        let name = site["site"].as_str()?;
        let n = rounds.saturating_sub(site["contributed"].as_u64()?);
        let why = if name == lost { ", which was killed on the way" } else { "" };
        (n > 0).then(|| format!("{n} of {rounds} rounds went on without {name}{why}"))
    };
    let sites: Vec<String> = said["sites"].as_array().into_iter().flatten().filter_map(share).collect();
    let often = if sites.is_empty() { "No round went on without a site".to_owned() } else { sites.join("; ") };
    format!(
        "{often}. A round goes on without a site that is not done {grace} s after the first: the grace. The sites share the \
         cores of this machine: while it is busy with other things they run apart, are left out more often, and the run shows \
         less."
    )
}

/// A number as people read it: three decimals, as the table before it has.
fn plain(x: Option<f64>) -> String {
    x.map_or_else(|| "no figure".to_owned(), |x| format!("{x:.3}"))
}

fn missing(said: &Value, lost: &str, learns: bool, grace: f64) -> Vec<String> {
    let list = |field: &str| said[field].as_array().cloned().unwrap_or_default();
    let mut missing = Vec::new();
    let sites = list("sites");
    let of_lost = sites.iter().find(|site| site["site"] == lost);
    match list("returns").iter().rfind(|back| back["site"] == lost) {
        None => missing.push(format!("{lost} was killed and never went on")),
        // Whoever was left out twice in a row, or lost its incarnation, starts from the committed state (D16, D23).
        Some(back) if back["how"] != "exact" && of_lost.is_none_or(|site| site["startedAnew"] != true) => {
            missing.push(format!("{lost} came back as {}, though it was not away for long", back["how"]));
        }
        Some(_) => {}
    }
    let rounds = said["rounds"].as_u64().unwrap_or(0);
    if rounds == 0 {
        missing.push("no round was committed".to_owned());
    }
    for site in sites.iter().filter(|site| site["site"] != lost) {
        let name = &site["site"];
        if site["contributed"].as_u64() != Some(rounds) {
            missing.push(format!("{name} had a part in {} of {rounds} rounds", site["contributed"]));
        }
        let waited = site["longestWait"].as_f64().unwrap_or(f64::INFINITY);
        if waited > grace + SLACK {
            missing.push(format!("{name} waited {waited:.1} s for a commit; the grace is {grace} s"));
        }
    }
    if sites.len() < 2 {
        missing.push("there were not two sites".to_owned());
    }
    let agreed = said["agreedBy"].as_object().into_iter().flatten();
    let by_two: u64 =
        agreed.filter(|(n, _)| n.as_str() != "0" && n.as_str() != "1").filter_map(|(_, v)| v.as_u64()).sum();
    // All rounds that both had a part in. While the lost site catches up, one more may be over before it tells its digest.
    let shared = of_lost.and_then(|site| site["contributed"].as_u64()).unwrap_or(0);
    if by_two + 1 < shared.max(2) {
        missing.push(format!("two sites told the same digest after {by_two} rounds only; both had a part in {shared}"));
    }
    let (before, after) = (said["before"].as_f64(), said["after"].as_f64());
    if after.zip(before).is_none_or(|(after, before)| after >= before) {
        missing.push(format!(
            "{} bits per byte after training, {} before: it must need fewer",
            plain(after),
            plain(before)
        ));
    }
    let third = said["counted"]["orders"][3].as_f64();
    if learns && after.zip(third).is_none_or(|(after, third)| after >= third) {
        let (after, third) = (plain(after), plain(third));
        missing.push(format!("{after} bits per byte, a counting model of order 3 needs {third}: it must need fewer"));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "rounds": 9, "before": 7.5, "after": 1.9, "agreedBy": {"1": 2, "2": 7},
            "sites": [
                {"site": "north", "contributed": 9, "longestWait": 5.7},
                {"site": "south", "contributed": 7, "longestWait": 30.0},
            ],
            "returns": [{"site": "south", "how": "exact", "step": 400}],
            "counted": {"orders": [4.9, 3.8, 2.9, 2.2]},
        })
    }

    #[test]
    fn each_thing_that_is_missing_is_named() {
        assert_eq!(missing(&good(), "south", true, 10.0), Vec::<String>::new());
        let cases: [(&str, Value, &str); 8] = [
            ("/returns", json!([]), "never went on"),
            ("/sites/0/contributed", json!(8), "8 of 9"),
            ("/sites/0/longestWait", json!(12.5), "12.5 s"),
            ("/agreedBy", json!({"1": 4, "2": 5}), "after 5 rounds only; both had a part in 7"),
            ("/agreedBy", json!({"1": 9}), "after 0 rounds only"),
            ("/returns/0/how", json!("outer"), "came back as"),
            ("/after", json!(2.548_612), "2.549 bits per byte, a counting model of order 3 needs 2.200"),
            ("/after", json!(null), "no figure bits"),
        ];
        for (at, value, word) in cases {
            let mut said = good();
            *said.pointer_mut(at).unwrap() = value;
            let found = met(&said, "south", true, 10.0, "cargo xtask quickstart").unwrap_err().to_string();
            assert!(found.contains(word), "{at}: {found}");
            assert!(found.ends_with("while the machine is idle: `cargo xtask quickstart`"), "{found}");
            assert!(found.contains("2 of 9 rounds went on without south, which was killed on the way"), "{found}");
        }
        let mut away = good();
        (away["returns"][0]["how"], away["sites"][1]["startedAnew"]) = (json!("outer"), json!(true));
        assert!(met(&away, "south", true, 10.0, "").is_ok(), "it was left out twice");
        assert!(!missing(&Value::Null, "south", false, 10.0).is_empty());
    }
}
