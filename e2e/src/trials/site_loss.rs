//! The loss of a site together with its store at the worst moments of a round (D14): right after it offered, right after its
//! contribution was held elsewhere, right after the commit. The survivor always goes on; the site may come back empty. Or a
//! site loses its store alone, under its living processes: then it comes back by itself.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant as Clock};

use anyhow::{Context, Result, bail, ensure};
use coalition_local::{RunOptions, Runner};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::record::Plan;
use coalition_protocol::{Round, SiteId};
use serde_json::{Value, json};

use super::Dice;
use crate::manifest::Small;
use crate::rundir::RunDir;
use crate::{programs, text, verdict, wait};

/// When the site is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// Its offer stands, nobody else may hold it yet.
    Offered,
    /// Another site holds it.
    Held,
    /// The round is committed.
    Committed,
}

/// How long a courier waits before it fetches, where a moment must last for us to see it: between an offer and its hold, or a
/// hold and the commit, lie milliseconds otherwise. Less than the grace, within which a site must hold what others offered.
const LAG: Duration = Duration::from_millis(250);
/// Far beyond what a small run takes on two busy cores.
const BOUND: Duration = Duration::from_mins(5);

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Processes and store.
    Site,
    /// The store alone.
    Store,
}

/// One loss.
pub fn trial(what: What, instant: Instant, seed: u64, folder: &Path) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // A site that stays away is retired soon: until then the last checkpoint is wanted at two sites.
    let small = Small { rounds: 8, workers: 1, grace: 1, replace_after: 8, ..Small::default() };
    let data = text::dataset(folder, 400_000, 7)?;
    let dir = folder.join("run");
    let mut dice = Dice::new(seed);
    let (victim, survivor) = if dice.below(2) == 0 { ("north", "south") } else { ("south", "north") };
    let (victim, survivor): (SiteId, SiteId) = (victim.parse()?, survivor.parse()?);
    // Who is slow to fetch makes the moment last: the survivor before it holds the victim's offer, the victim before the
    // round can close.
    let slow = match instant {
        Instant::Offered => Some(survivor.clone()),
        Instant::Held => Some(victim.clone()),
        Instant::Committed => None,
    };
    let options = RunOptions {
        manifest: Some(small.write(folder)?),
        dir: dir.clone(),
        data: BTreeMap::from([("text".to_owned(), data.clone())]),
        trainer: Some(programs::trainer()?),
        lag: slow.into_iter().map(|site| (site, LAG)).collect(),
        ..RunOptions::default()
    };
    let round = Round(2 + dice.below(3));
    // Whoever loses its store alone is never away.
    let returned = dice.below(2) == 0 && what == What::Site;
    let comes_back = returned || what == What::Store;

    let runner = runtime.block_on(Runner::start(&options)).context("start")?;
    let run = RunDir::new(&dir);
    let mut watch = Watch { run: run.clone(), victim: victim.clone(), instant, from: round, view: None };
    let round = wait::until(&format!("{instant:?} in round {round} or later"), BOUND, || watch.reached())?;
    runtime.block_on(async {
        if what == What::Site {
            runner.kill_site(&victim).await?;
        }
        runner.lose_store(&victim).await
    })?;
    let lost = Clock::now();
    let view = run.view()?;
    watch.was_met(&view, round)?;
    let before = view.last_round();
    let went_on =
        wait::until(
            "the survivor to commit",
            BOUND,
            || Ok((run.view()?.last_round() > before).then(|| lost.elapsed())),
        )
        .with_context(|| format!("{what:?} of {victim} lost {instant:?} in round {round}"))?;
    if returned {
        runtime.block_on(runner.return_site(&victim))?;
    }
    let ended = runtime.block_on(async { tokio::time::timeout(BOUND, runner.finished()).await });
    match ended {
        Err(_) => bail!(
            "{what:?} of {victim} lost {instant:?} in round {round}: the run did not end in {} s",
            BOUND.as_secs()
        ),
        Ok(ending) => ensure!(ending? == coalition_local::Ending::Complete, "the run did not end complete"),
    }
    let found = verdict::complete(&dir, &data)?;
    let view = run.view()?;
    ensure!(applied_by_survivor(&view, &victim), "a commit is held by {victim} alone");
    let member = view.members().get(&victim).context("the victim is unknown")?;
    if comes_back {
        ensure!(member.incarnation.0 >= 2 || member.retired, "{victim} lost its store and kept its incarnation");
    }
    if what == What::Store {
        ensure!(!member.retired, "{victim} lost its store alone and did not come back");
    }
    Ok(json!({
        "detail": format!("{what:?} of {victim} lost {instant:?} in round {round}, back: {comes_back}; {} tokens", found.tokens),
        "went_on_seconds": went_on.as_secs_f64(),
    }))
}

/// Looks for the moment. Between a hold and the commit lie milliseconds: the history is folded only when it has grown, and a
/// round whose moment passed unseen is let go for the next one.
struct Watch {
    run: RunDir,
    victim: SiteId,
    instant: Instant,
    from: Round,
    view: Option<View>,
}

impl Watch {
    /// The round in which the moment has come, if it has.
    fn reached(&mut self) -> Result<Option<Round>> {
        let known = self.view.as_ref().map_or(0, |v| v.head().seq.0 + 1);
        if self.run.has_record(known) {
            self.view = Some(self.run.view()?);
        }
        let Some(view) = &self.view else { return Ok(None) };
        ensure!(view.ended().is_none(), "the run ended before the moment was seen");
        let last = view.last_round();
        if self.instant == Instant::Committed {
            return Ok((last >= self.from).then_some(last));
        }
        let Some((plan, open)) = view.current_plan().filter(|(_, p)| p.round >= self.from) else { return Ok(None) };
        let Some(report) = self.run.report(self.victim.as_str())? else { return Ok(None) };
        let Some(offer) = report.offers.iter().find(|o| o.key.plan == plan) else { return Ok(None) };
        let met = (self.instant == Instant::Held) == self.is_held(open, &offer.key);
        Ok(met.then_some(open.round))
    }

    /// True if a site other than the victim holds this contribution.
    fn is_held(&self, plan: &Plan, key: &ContributionKey) -> bool {
        let mut others = plan.parts.iter().filter(|p| p.site != self.victim);
        others.any(|p| {
            let other = self.run.report(p.site.as_str()).ok().flatten();
            other.is_some_and(|r| r.holds.iter().any(|h| h.key == *key))
        })
    }

    /// Refuses a loss that came too late for its moment: it would prove something else than it says.
    fn was_met(&self, now: &View, round: Round) -> Result<()> {
        if self.instant == Instant::Committed {
            return Ok(());
        }
        ensure!(
            now.last_round() < round,
            "round {round} was committed before the loss took effect: not {:?}",
            self.instant
        );
        let open = now.current_plan().filter(|(_, p)| p.round == round);
        let (plan, open) = open.with_context(|| format!("round {round} is no longer open"))?;
        let report = self.run.report(self.victim.as_str())?.context("the victim's report is gone")?;
        let offer = report.offers.iter().find(|o| o.key.plan == plan).context("the victim's offer is gone")?;
        let held = self.is_held(open, &offer.key);
        ensure!(held == (self.instant == Instant::Held), "held elsewhere: {held}, so this was not {:?}", self.instant);
        Ok(())
    }
}

/// No commit may stand in the victim's store alone.
fn applied_by_survivor(view: &View, victim: &SiteId) -> bool {
    view.commits().all(|(_, _, c)| match c {
        Commit::Outer(o) => o.holders.iter().any(|h| h != victim),
        Commit::Genesis | Commit::Step(_) => true,
    })
}
