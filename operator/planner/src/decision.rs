//! What a pass decides: at most one record to append, intents to carry out, the status to show, events to tell, and when to
//! decide again even if nothing happens.
use coalition_protocol::messages::SiteRun;
use coalition_protocol::record::{Body, Record};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, Seq, SiteId};
use serde::{Deserialize, Serialize};

use crate::status::RunStatus;
use crate::time::Millis;

/// The outcome of one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Records that this hub lost, as they were signed (D7): append them as they are, durably and in order, each followed by
    /// [`crate::World::adopted`], and decide again.
    pub adopt: Vec<SignedRecord>,
    /// The one record to append. Sign it, write it with the old head as condition, then [`crate::World::appended`]; decide
    /// again before anything else, for a record changes the head.
    pub append: Option<Record>,
    /// What else to do. Each is safe to repeat.
    pub intents: Vec<Intent>,
    /// What to show.
    pub status: RunStatus,
    /// What to tell, once `append` and `intents` are carried out.
    pub events: Vec<Event>,
    /// When to decide again at the latest; none = only when something is observed.
    pub next_deadline: Option<Millis>,
}

impl Decision {
    /// True if nothing is to be done.
    pub fn is_quiet(&self) -> bool {
        self.adopt.is_empty() && self.append.is_none() && self.intents.is_empty()
    }
    /// The body of the record to append.
    pub fn body(&self) -> Option<&Body> {
        self.append.as_ref().map(|r| &r.body)
    }
}

/// Something to do outside the history.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Show this to the site, then [`crate::World::asked`]. Level-triggered: the newest one says all, what a site runs
    /// follows from it alone.
    AskSite(Box<SiteRun>),
    /// A run checkpoint became consistent: make it known (an object that outlives the run), then
    /// [`crate::World::announced`].
    AnnounceCheckpoint(CheckpointNotice),
}

/// A consistent run checkpoint (D21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointNotice {
    /// The commit whose state it is.
    pub seq: Seq,
    /// Its round.
    pub round: u64,
    /// D(O).
    pub state: Digest,
    /// Tokens committed by then.
    pub tokens: u64,
    /// Sites that hold it complete and verified.
    pub copies: Vec<SiteId>,
}

/// Something worth telling a person, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// A name from a closed list, such as `RoundCommitted` or `SiteRetired`.
    pub reason: String,
    /// The site it is about, if one.
    pub site: Option<SiteId>,
    /// One sentence.
    pub message: String,
    /// True if someone may want to act.
    pub warning: bool,
}

/// Events of a record.
pub fn events(body: &Body) -> Vec<Event> {
    let tell = |reason: &str, site: Option<&SiteId>, warning: bool, message: String| Event {
        reason: reason.to_owned(),
        site: site.cloned(),
        message,
        warning,
    };
    match body {
        Body::Genesis(g) => {
            let names: Vec<&str> = g.members.iter().map(|m| m.site.as_str()).collect();
            vec![tell("RunStarted", None, false, format!("the run begins with {}", names.join(", ")))]
        }
        Body::Outer(o) => {
            let names: Vec<&str> = o.included.iter().map(|i| i.key.site.as_str()).collect();
            let text = format!("round {} committed with {}: {} tokens in all", o.round, names.join(", "), o.tokens);
            let mut out = vec![tell("RoundCommitted", None, false, text)];
            out.extend(o.left_out.iter().map(|l| {
                let what = if l.returned {
                    "for the second time or for good: its ranges return and it begins anew from the committed state"
                } else {
                    "once: its work goes into its next contribution"
                };
                let text = format!("{} was left out of round {}, {what}", l.site, o.round);
                tell("SiteLeftOut", Some(&l.site), true, text)
            }));
            out
        }
        Body::Step(x) => {
            let text = format!("round {} committed by {} alone: {} tokens in all", x.round, x.site, x.tokens);
            vec![tell("RoundCommitted", Some(&x.site), false, text)]
        }
        Body::Members(m) => {
            let mut out = Vec::new();
            for r in &m.retired {
                let text = format!("{} incarnation {} is retired: {}", r.site, r.incarnation, r.reason);
                out.push(tell("SiteRetired", Some(&r.site), true, text));
            }
            for j in &m.joined {
                let text = format!("{} joins as incarnation {}", j.site, j.incarnation);
                out.push(tell("SiteJoined", Some(&j.site), false, text));
            }
            for r in &m.set_aside {
                out.push(tell("SiteSetAside", Some(&r.site), true, format!("{} is set aside: {}", r.site, r.reason)));
            }
            for l in &m.lifted {
                out.push(tell("SiteLifted", Some(l), false, format!("{l} is no longer set aside")));
            }
            out
        }
        Body::Void(v) => {
            vec![tell("PlansVoided", None, true, format!("round {} is planned anew: {}", v.round, v.reason))]
        }
        Body::End(e) if e.message.is_empty() => {
            vec![tell("RunComplete", None, false, format!("the run is complete: {} tokens", e.tokens))]
        }
        Body::End(e) => vec![tell("RunEnded", None, true, e.message.clone())],
        Body::Plan(_) | Body::State(_) | Body::Rewind(_) | Body::Takeover(_) => Vec::new(),
    }
}
