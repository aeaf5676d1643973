//! Which state a run begins from: what `model.init` asks for, compared with the Checkpoint it names. Must not know where
//! objects come from, or how a site brings the state.
use coalition_crds::checkpoint::Checkpoint;
use coalition_crds::training_run as api;
use coalition_protocol::canonical::{self, NotCanonical};
use coalition_protocol::record::Origin;
use coalition_protocol::{Digest, Seq};
use coalition_spec::Problem;
use coalition_spec::model::ModelConfig;
use coalition_spec::run::Init;

/// The field of a manifest that names a checkpoint.
const FIELD: &str = "model.init.from.checkpoint";

/// The digest of every size and constant of a model: what a Checkpoint names, and a run that adopts it must have.
pub fn model_digest(config: &ModelConfig) -> Result<Digest, NotCanonical> {
    canonical::digest(config)
}

/// What is known of the checkpoint that a run names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adopted<'a> {
    /// The object of that name; none if there is none.
    pub checkpoint: Option<&'a Checkpoint>,
    /// What the run's first record says, once it has begun: the object may be gone by then.
    pub begun: Option<&'a Origin>,
}

/// Where the first parameters come from, with every problem told.
pub fn init(
    i: &api::Init,
    model: Option<&ModelConfig>,
    adopted: &Adopted<'_>,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> Init {
    let seed = u64::try_from(i.seed.unwrap_or(api::DEFAULT_SEED)).unwrap_or(0);
    let Some(named) = &i.from else { return Init { seed, from: None } };
    if let Some(origin) = adopted.begun {
        return Init { seed, from: Some(origin.clone()) };
    }
    let problem = |must: String, way_out: &str| Problem::new(FIELD, &named.checkpoint, must, way_out);
    let Some(checkpoint) = adopted.checkpoint else {
        problems.push(problem(
            format!("is not a Checkpoint in namespace {namespace}"),
            "Name one that `kubectl get checkpoints` lists there; on one machine a run begins from a seed.",
        ));
        return Init { seed, from: None };
    };
    if checkpoint.status.as_ref().is_none_or(|s| s.copies.is_empty()) {
        problems.push(problem(
            "has no verified copy at any site".to_owned(),
            "Wait until its status names a site, or name another checkpoint.",
        ));
    }
    let wanted = model.and_then(|m| model_digest(m).ok()).map(|d| d.to_string());
    if wanted.is_some_and(|d| d != checkpoint.spec.model_digest) {
        problems.push(problem(
            format!("is of another model than this run's: run {} trained other sizes", checkpoint.spec.run),
            "Write the same `model` as that run had, or begin from a seed.",
        ));
    }
    let origin = read(checkpoint);
    if origin.is_none() {
        let must = "names no state that can be adopted: run, record and digest do not read".to_owned();
        problems.push(problem(must, "Name another checkpoint; this one was not written by a hub."));
    }
    Init { seed, from: origin }
}

fn read(checkpoint: &Checkpoint) -> Option<Origin> {
    let spec = &checkpoint.spec;
    let seq = Seq(u64::try_from(spec.seq).ok().filter(|n| *n > 0)?);
    Some(Origin { run: spec.run_id.parse().ok()?, seq, state: spec.state_digest.parse().ok()? })
}
