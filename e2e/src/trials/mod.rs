//! Trials: one seeded disturbance of a small run each, and what must hold afterwards. The gate runs a few, campaigns all.
//!
//! A trial prints one JSON object; a failed one can be repeated by its seed.
mod kills;
mod site_loss;

use std::path::Path;

use anyhow::{Result, bail};
use coalition_protocol::philox::{Draws, Purpose};
use serde_json::{Value, json};

use site_loss::{Instant, What, trial};

/// Every trial's name.
pub const NAMES: [&str; 6] =
    ["kills", "kills-one-site", "site-loss-offered", "site-loss-held", "site-loss-committed", "store-loss"];

/// Runs one trial below `folder` and says how it went.
pub fn run(name: &str, seed: u64, folder: &Path) -> Result<Value> {
    let outcome = match name {
        "kills" => kills::several_sites(seed, folder),
        "kills-one-site" => kills::one_site(seed, folder),
        "site-loss-offered" => trial(What::Site, Instant::Offered, seed, folder),
        "site-loss-held" => trial(What::Site, Instant::Held, seed, folder),
        "site-loss-committed" => trial(What::Site, Instant::Committed, seed, folder),
        "store-loss" => trial(What::Store, Instant::Committed, seed, folder),
        _ => bail!("there is no trial `{name}`; there are: {}", NAMES.join(", ")),
    };
    Ok(match outcome {
        Ok(mut value) => {
            value["ok"] = json!(true);
            value
        }
        Err(e) => json!({"ok": false, "detail": format!("{e:#}")}),
    })
}

/// Seeded draws, one after another.
struct Dice {
    draws: Draws,
    next: u64,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self { draws: Draws::new(seed, Purpose::Test, 1, 0), next: 0 }
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next += 1;
        self.draws.u64(self.next) % n.max(1)
    }
}
