//! A worker that nobody reaches but that lives on, and is replaced, and comes back: nothing it writes counts.

use anyhow::Result;
use coalition_suites::trials::{Cut, replaced};
use coalition_suites::{Installed, Layout, Tiny};

fn lost(how: Cut) -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(3))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    replaced(&run, how).map(drop)
}

#[test]
fn a_worker_behind_a_cut_cable_counts_for_nothing_when_it_returns() -> Result<()> {
    lost(Cut::Cable)
}

#[test]
fn a_halted_worker_counts_for_nothing_when_it_goes_on() -> Result<()> {
    lost(Cut::Asleep)
}
