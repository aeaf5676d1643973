//! `SiteRun`: what the hub asks of one site for one run. Written by the hub into the namespace `site-NAME`, read by that site
//! alone. It carries the protocol's message field by field; beside it stand whose run it is, and the shape of this site's
//! part, so that a site needs to look up nothing at the hub.
use std::borrow::Cow;

use coalition_protocol::messages::{OfferNotice, SiteRun as Message};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::budget::{self, TooLarge};
use crate::rules;
use crate::training_run::{RunReference, Shape};
use crate::wire;

/// Asks one site for its part of a run.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "SiteRun",
    plural = "siteruns",
    shortname = "srun",
    category = "training",
    namespaced,
    derive = "PartialEq",
    doc = "Asks one site for its part of a run. Written by the hub only.",
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run"),
    printcolumn(name = "Desired", type_ = "string", json_path = ".spec.desired"),
    printcolumn(name = "Incarnation", type_ = "integer", json_path = ".spec.incarnation"),
    printcolumn(name = "Head", type_ = "integer", json_path = ".spec.head.seq", description = "newest record"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".spec.shape.workers"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Hub-Namespace", type_ = "string", json_path = ".spec.trainingRun.namespace", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct SiteRunSpec {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// The TrainingRun at the hub.
    pub training_run: RunReference,
    /// The shape of this site's part.
    pub shape: Shape,
}

/// What one entry of each list takes at most as JSON, bytes: names of 63 characters, numbers of 16 digits.
mod weight {
    pub const PEER: usize = 90;
    pub const OFFER: usize = 452;
    pub const HOLDER: usize = 66;
    pub const LEASE: usize = 40;
    pub const INTERVAL: usize = 36;
    pub const STATE: usize = 216;
    pub const CHUNK: usize = 67;
    pub const NUMBER: usize = 17;
    pub const FEATURE: usize = 66;
    /// The most that all lists of a SiteRun may weigh: the budget less metadata, the resolved run (its numbers take 3 KiB, its
    /// labels as much as the rules of a TrainingRun allow) and 2 KiB for shape, names and fence.
    pub const ALL: usize = crate::budget::SITE_RUN - crate::budget::METADATA - (6 << 10) - (2 << 10);
}

/// What the lists of a SiteRun weigh, in the words of a rule; [`SiteRunSpec::weight`] is the same in Rust.
fn rule() -> String {
    use weight as w;
    format!(
        "self.peers.map(p, {} + size(p.endpoint)).sum() \
         + self.offers.map(o, {} + size(o.holders) * {} \
         + o.offer.used.map(u, {} + size(u.used) * {}).sum()).sum() \
         + (has(self.disagreement) ? self.disagreement.map(d, {} + size(d.state.chunks) * {}).sum() : 0) \
         + (has(self.keep) ? size(self.keep) * {n} : 0) + (has(self.save) ? size(self.save) * {n} : 0) \
         + (has(self.requires) ? size(self.requires) * {} : 0) <= {}",
        w::PEER,
        w::OFFER,
        w::HOLDER,
        w::LEASE,
        w::INTERVAL,
        w::STATE,
        w::CHUNK,
        w::FEATURE,
        w::ALL,
        n = w::NUMBER,
    )
}

impl JsonSchema for SiteRunSpec {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SiteRunSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = wire::schema::<Message>(generator);
        schema.insert("description".to_owned(), "Asks one site for its part of a run.".into());
        let reference = generator.subschema_for::<RunReference>();
        wire::add(&mut schema, "trainingRun", "Names the TrainingRun at the hub that this is for.", reference);
        let shape = generator.subschema_for::<Shape>();
        wire::add(&mut schema, "shape", "Sets the shape of this site's part.", shape);
        for field in ["run", "site", "trainingRun"] {
            let same = rules::fixed("a site keeps what it did for one run apart; create another SiteRun")
                .field_path(format!(".{field}"));
            wire::validate(&mut schema, kube::core::Rule { rule: format!("self.{field} == oldSelf.{field}"), ..same });
        }
        wire::validate(
            &mut schema,
            rules::rule(
                "self.epoch > oldSelf.epoch || (self.epoch == oldSelf.epoch && self.incarnation >= oldSelf.incarnation)",
                "the fence never falls: epoch first, then incarnation; re-read the history and ask under the fence in force",
            ),
        );
        wire::validate(
            &mut schema,
            rules::rule(
                &rule(),
                "peers, offers, chunk digests and lists of records are more than one SiteRun holds; show a page of the offers, \
                 and leave out chunk digests",
            ),
        );
        schema
    }
}

impl<'de> Deserialize<'de> for SiteRunSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut map = Map::<String, Value>::deserialize(d)?;
        let (training_run, shape) = (wire::take(&mut map, "trainingRun")?, wire::take(&mut map, "shape")?);
        Ok(Self { message: wire::rest(map)?, training_run, shape })
    }
}

/// What [`SiteRunSpec::fit`] left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Offers that are shown once the site holds those before them.
    pub offers: usize,
    /// States without their chunk digests: the site compares all chunks.
    pub chunks: usize,
}

impl SiteRunSpec {
    /// What the lists weigh: an upper bound of their bytes.
    pub fn weight(&self) -> usize {
        use weight as w;
        let m = &self.message;
        m.peers.iter().map(|p| w::PEER + p.endpoint.chars().count()).sum::<usize>()
            + m.offers.iter().map(offer).sum::<usize>()
            + m.disagreement.iter().map(|d| w::STATE + d.state.chunks.len() * w::CHUNK).sum::<usize>()
            + (m.keep.len() + m.save.len()) * w::NUMBER
            + m.requires.len() * w::FEATURE
    }

    /// Leaves out what may wait until the rest is within the budget: chunk digests first, which only save work, then offers
    /// beyond a page. Offers that most members hold come first: those can be fetched.
    pub fn fit(mut self) -> Result<(Self, LeftOut), TooLarge> {
        let mut left_out = LeftOut::default();
        let mut all = self.weight();
        for notice in &mut self.message.disagreement {
            if all > weight::ALL && !notice.state.chunks.is_empty() {
                all -= notice.state.chunks.len() * weight::CHUNK;
                notice.state.chunks.clear();
                left_out.chunks += 1;
            }
        }
        if all > weight::ALL {
            self.message.offers.sort_by_key(|o| std::cmp::Reverse(o.holders.len()));
            for notice in &mut self.message.offers {
                notice.holders.truncate(HOLDERS);
            }
            all = self.weight();
            while all > weight::ALL
                && let Some(last) = self.message.offers.pop()
            {
                all -= offer(&last);
                left_out.offers += 1;
            }
        }
        let too_large = |bytes, budget| TooLarge {
            object: format!("SiteRun/{} of site {}", self.message.run, self.message.site),
            bytes,
            budget,
            way_out: "Lower sites.max, retention.last, or the number and length of labels in selectors.",
        };
        if all > weight::ALL {
            return Err(too_large(all, weight::ALL));
        }
        let bytes = budget::bytes(&self);
        if bytes > budget::SITE_RUN - budget::METADATA {
            return Err(too_large(bytes, budget::SITE_RUN - budget::METADATA));
        }
        Ok((self, left_out))
    }
}

/// Holders that are shown of an offer where room is short. Its maker is asked in any case.
const HOLDERS: usize = 2;

fn offer(o: &OfferNotice) -> usize {
    use weight as w;
    let uses = o.offer.used.iter().map(|u| w::LEASE + u.used.intervals().len() * w::INTERVAL).sum::<usize>();
    w::OFFER + o.holders.len() * w::HOLDER + uses
}
