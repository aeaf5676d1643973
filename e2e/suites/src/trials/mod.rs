//! Trials: one bar each, measured or tried once on clusters of its own. Campaigns repeat them and judge the figures; the gate's
//! tests use the same pieces with looser bounds, since other work runs beside. Must not know the bars.

mod away;
mod cost;
mod histories;
mod kills;
mod many;
mod stale;
mod start;

pub use away::{PARTS, Part, missed};
pub use cost::{Cost, cost};
pub use kills::{Kills, kills};
pub use many::many;
pub use stale::{Cut, replaced};
pub use start::{Start, started};

use anyhow::{Result, bail};
use coalition_cluster::World;
use coalition_protocol::philox::{Draws, Purpose};
use serde_json::{Value, json};

use crate::installed::{Installed, Layout};

/// Every trial's name.
pub const NAMES: [&str; 7] = [
    "cluster-start",
    "cluster-kills",
    "cluster-away",
    "cluster-histories",
    "cluster-stale-worker",
    "cluster-cost",
    "cluster-many",
];

/// Runs a trial and says how it went: one JSON object with `ok`, `detail`, and numbers or lists of numbers by name.
pub fn run(name: &str, seed: u64) -> Result<Value> {
    let outcome = match name {
        "cluster-start" => start::trial(),
        "cluster-kills" => kills::trial(),
        "cluster-away" => away::trial(seed),
        "cluster-histories" => histories::trial(seed),
        "cluster-stale-worker" => stale::trial(seed),
        "cluster-cost" => cost::trial(),
        "cluster-many" => many::trial(),
        _ => bail!("there is no trial `{name}`; there are: {}", NAMES.join(", ")),
    };
    Ok(match outcome {
        Ok(mut value) => {
            value["ok"] = json!(true);
            value
        }
        Err(error) => json!({"ok": false, "detail": format!("{error:#}")}),
    })
}

/// A world of its own with Coalition in it.
fn install(layout: Layout) -> Result<Installed> {
    Installed::new(World::start()?, layout)
}

/// Seeded draws, one after another.
struct Dice {
    draws: Draws,
    next: u64,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self { draws: Draws::new(seed, Purpose::Test, 2, 0), next: 0 }
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next += 1;
        self.draws.u64(self.next) % n.max(1)
    }
}
