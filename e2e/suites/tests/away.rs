//! What the run needs is away for a moment; campaigns take each away for a minute.

use anyhow::Result;
use coalition_suites::trials::{Part, missed};
use coalition_suites::{Installed, Layout, Tiny};
use std::time::Duration;

/// How long each is away: longer than a lease of the operator (15 s would be), and than a round.
const AWAY: Duration = Duration::from_secs(15);

#[test]
fn nothing_that_is_away_for_a_while_stops_training() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    [Part::Operator, Part::ApiServer, Part::Etcd]
        .into_iter()
        .try_for_each(|part| missed(&at, &run, part, AWAY).map(drop))
}
