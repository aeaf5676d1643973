//! `SiteReport`: what a site answers. One for each SiteRun, carrying the protocol's message, and one named `site` that tells
//! what the site has. Written by that site alone, in its namespace at the hub; the hub copies what people shall see.
use coalition_protocol::RunId;
use coalition_protocol::messages::{Failure, SiteReport as Message, bounds};
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::budget::{self, TooLarge};
use crate::rules;
use crate::site::Facts;
use crate::wire;

/// The name of the report that tells what a site has.
pub const SITE: &str = "site";

/// Answers the hub: about one run, or about the site.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "SiteReport",
    plural = "sitereports",
    shortname = "srep",
    category = "training",
    namespaced,
    derive = "PartialEq",
    doc = "Answers the hub: about one run, or about the site. Written by the site only.",
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run.run"),
    printcolumn(name = "Incarnation", type_ = "integer", json_path = ".spec.run.incarnation"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".spec.run.gang.attempt"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".spec.run.gang.workersReady", description = "ready"),
    printcolumn(name = "Round", type_ = "integer", json_path = ".spec.run.progress.round"),
    printcolumn(name = "Applied", type_ = "integer", json_path = ".spec.run.head.seq", description = "newest record"),
    printcolumn(name = "Counter", type_ = "integer", json_path = ".spec.run.counter", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::rule(
        "has(self.run) != has(self.site)",
        "must have exactly one of run and site; write a report of its own for each run, and one named site",
    ),
    validation = rules::rule(
        "has(self.run) == has(oldSelf.run)",
        "a report keeps its kind: of a run, or of the site; create another report",
    )
)]
pub struct SiteReportSpec {
    /// Tells what the site does for one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "run")]
    pub run: Option<Message>,

    /// Tells what the site has, in the report named site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteAnswer>,
}

/// Tells what a site has and offers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::rule(
    "self.counter >= oldSelf.counter",
    "an older report never replaces a newer one; read the counter that stands here and go on from it",
))]
pub struct SiteAnswer {
    /// Counts the site's reports: an older one never replaces a newer.
    #[schemars(range(min = 0))]
    pub counter: i64,

    /// Tells what the site has.
    pub facts: Facts,

    /// Lists the runs whose records or checkpoints its store holds: what a hub that lost its objects must know of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "runs")]
    pub runs: Vec<RunId>,
}

/// Runs that one store is known to hold.
const RUNS: usize = 256;

fn runs(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = wire::list::<RunId>(generator, RUNS);
    schema.insert("x-kubernetes-list-type".to_owned(), "set".into());
    schema
}

/// What one entry of each list takes at most as JSON, bytes: names of 63 characters, numbers of 16 digits. A character of a
/// log counts twice, for a line break takes two bytes.
mod weight {
    pub const OFFER: usize = 420;
    pub const LEASE: usize = 40;
    pub const INTERVAL: usize = 36;
    pub const HELD: usize = 300;
    pub const CHUNK: usize = 67;
    pub const CHECKPOINT: usize = 136;
    pub const FAILURE: usize = 90;
    pub const CHARACTER: usize = 2;
    pub const REFUSAL: usize = 80;
    /// The most that all lists of a report may weigh: the budget less metadata and 4 KiB for fence, progress and the rest.
    pub const ALL: usize = crate::budget::SITE_REPORT - crate::budget::METADATA - (4 << 10);
}

/// What the lists of a report weigh, in the words of a rule; [`weight_of`] is the same in Rust. Records are not in it: the
/// server does not look into them.
fn rule() -> String {
    use weight as w;
    let uses = |list: &str| format!("{list}.map(u, {} + size(u.used) * {}).sum()", w::LEASE, w::INTERVAL);
    format!(
        "(has(self.state) ? size(self.state.chunks) * {} : 0) \
         + (has(self.offers) ? self.offers.map(o, {} + {}).sum() : 0) + (has(self.step) ? {} : 0) \
         + (has(self.holds) ? size(self.holds) * {} : 0) \
         + (has(self.checkpoints) ? size(self.checkpoints) * {} : 0) \
         + (has(self.gang.failures) ? self.gang.failures.map(f, {f} + size(f.log) * {c}).sum() : 0) \
         + (has(self.gang.lastFailure) ? {f} + size(self.gang.lastFailure.log) * {c} : 0) \
         + (has(self.refusals) ? self.refusals.map(k, {} + size(self.refusals[k])).sum() : 0) <= {}",
        w::CHUNK,
        w::OFFER,
        uses("o.used"),
        uses("self.step.used"),
        w::HELD,
        w::CHECKPOINT,
        w::REFUSAL,
        w::ALL,
        f = w::FAILURE,
        c = w::CHARACTER,
    )
}

fn run(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = wire::schema::<Message>(generator);
    wire::validate(
        &mut schema,
        rules::rule(
            "self.run == oldSelf.run && self.site == oldSelf.site",
            "run and site cannot change after creation; create another report",
        ),
    );
    wire::validate(
        &mut schema,
        rules::rule(
            "self.epoch > oldSelf.epoch || (self.epoch == oldSelf.epoch && (self.incarnation > oldSelf.incarnation \
             || (self.incarnation == oldSelf.incarnation && self.counter >= oldSelf.counter)))",
            "an older report never replaces a newer one: epoch, then incarnation, then counter; read the report that stands \
             here and go on from its counter",
        ),
    );
    wire::validate(
        &mut schema,
        rules::rule(
            &rule(),
            "holds, chunk digests, logs and checkpoints are more than one report holds; leave out chunk digests and shorten \
             logs",
        ),
    );
    schema
}

fn uses(list: &[coalition_protocol::record::LeaseUse]) -> usize {
    list.iter().map(|u| weight::LEASE + u.used.intervals().len() * weight::INTERVAL).sum()
}

fn failure(f: &Failure) -> usize {
    weight::FAILURE + f.log.chars().count() * weight::CHARACTER
}

/// What the lists of a report weigh, records left aside.
pub fn weight_of(m: &Message) -> usize {
    use weight as w;
    m.state.as_ref().map_or(0, |s| s.chunks.len() * w::CHUNK)
        + m.offers.iter().map(|o| w::OFFER + uses(&o.used)).sum::<usize>()
        + m.step.as_ref().map_or(0, |s| uses(&s.used))
        + m.holds.len() * w::HELD
        + m.checkpoints.len() * w::CHECKPOINT
        + m.gang.failures.iter().chain(&m.gang.last_failure).map(failure).sum::<usize>()
        + m.refusals.values().map(|v| w::REFUSAL + v.chars().count()).sum::<usize>()
}

/// Characters that stay of older failures' logs where room is short: a few lines, one, none.
const SHORT_LOG: [usize; 4] = [512, 256, 80, 0];
/// Characters that stay of the newest failure's log where nothing else can give way: some dozen lines, some.
const NEWEST_LOG: [usize; 2] = [4096, 1024];

impl SiteReportSpec {
    /// The report on a run, within bounds and budget. Left out, in this order and only as far as needed: what repeats the newest
    /// failure's log, older logs, chunk digests of the state, half of the newest log, then later records of the page, which travel in the next.
    pub fn fit(mut message: Message) -> Result<Self, TooLarge> {
        for text in message.refusals.values_mut() {
            *text = budget::shorten(text, bounds::WORDS);
        }
        message.progress.waiting_for = budget::shorten(&message.progress.waiting_for, bounds::WORDS);
        let newest = message.gang.last_failure.as_ref().map(|f| f.number);
        for f in message.gang.failures.iter_mut().filter(|f| Some(f.number) == newest) {
            f.log.clear();
        }
        for characters in SHORT_LOG {
            if weight_of(&message) <= weight::ALL {
                break;
            }
            for f in &mut message.gang.failures {
                f.log = tail(&f.log, characters);
            }
        }
        if let Some(state) = message.state.as_mut().filter(|s| s.chunks.len() > bounds::CHUNKS) {
            state.chunks.clear();
        }
        if weight_of(&message) > weight::ALL
            && let Some(state) = &mut message.state
        {
            state.chunks.clear();
        }
        for characters in NEWEST_LOG {
            if weight_of(&message) > weight::ALL
                && let Some(f) = &mut message.gang.last_failure
            {
                f.log = tail(&f.log, characters);
            }
        }
        message.records.truncate(bounds::RECORDS);
        let most = budget::SITE_REPORT - budget::METADATA;
        while budget::bytes(&message) > most && message.records.len() > 1 {
            message.records.pop();
        }
        let too_large = |bytes, budget| TooLarge {
            object: format!("SiteReport/{} of site {}", message.run, message.site),
            bytes,
            budget,
            way_out: "Lower sites.max or retention.last; a single record must leave room for the rest.",
        };
        let (weight, bytes) = (weight_of(&message), budget::bytes(&message));
        if weight > weight::ALL {
            return Err(too_large(weight, weight::ALL));
        }
        if bytes > most {
            return Err(too_large(bytes, most));
        }
        Ok(Self { run: Some(message), site: None })
    }
}

/// The last characters of a text.
fn tail(text: &str, characters: usize) -> String {
    let skip = text.chars().count().saturating_sub(characters);
    text.chars().skip(skip).collect()
}
