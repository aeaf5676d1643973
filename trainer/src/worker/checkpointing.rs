//! Writing what outlives a process: site checkpoints (D19) and run checkpoints (D20). Must not know when.
use std::collections::BTreeMap;

use bytes::Bytes;
use coalition_engine::Trainer;
use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::messages::StoredCheckpoint;
use coalition_protocol::{Digest, Seq};
use coalition_spec::{ModelConfig, hugging_face};
use coalition_store::log::LogWriter;
use coalition_store::run_checkpoint::{self, RunCheckpoint};
use coalition_store::site_checkpoint::{Saved, SiteCheckpoint};
use coalition_store::tensors::Tensor;
use coalition_store::{BlockingStore, StoreError};

use super::cursor::Cursor;
use super::rank::Body;
use super::resume::write_cursor;
use crate::failure::{Failure, Stop};
use crate::once::Once;

/// Why something was not written.
pub enum NotSaved {
    /// The store did not take it.
    Store(StoreError),
    /// Anything else.
    Stop(Stop),
}

impl From<StoreError> for NotSaved {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}
impl From<Failure> for NotSaved {
    fn from(e: Failure) -> Self {
        Self::Stop(e.into())
    }
}

fn tensors(layout: &VectorLayout, vector: &[f32]) -> Vec<Tensor> {
    layout.tensors().iter().map(|t| Tensor::f32(t.name.clone(), t.shape.clone(), &vector[t.range()])).collect()
}

/// Saves the inner state as the next entry of the log; `pins` are entries whose data must stay.
pub fn save_site(
    store: &BlockingStore,
    log: &mut LogWriter,
    layout: &VectorLayout,
    trainer: &Trainer<f32>,
    cursor: &Cursor,
    class: Digest,
    pins: &[u64],
) -> Result<Saved, NotSaved> {
    let (m, v) = trainer.moments();
    let groups = BTreeMap::from([
        ("x".to_owned(), tensors(layout, trainer.params())),
        ("m".to_owned(), tensors(layout, m)),
        ("v".to_owned(), tensors(layout, v)),
    ]);
    let checkpoint = SiteCheckpoint {
        base: cursor.applied,
        base_state: cursor.state,
        class,
        cursor: write_cursor(cursor, trainer.adam_count())?,
        groups,
    };
    Ok(store.wait(log.save(&checkpoint, pins))?)
}

/// Saves the state after commit `seq` as a base that `transformers` opens.
pub fn save_run(
    store: &BlockingStore,
    view: &View,
    layout: &VectorLayout,
    model: &ModelConfig,
    body: &Body,
    seq: Seq,
    state: &OuterState,
) -> Result<StoredCheckpoint, NotSaved> {
    let tokens = match view.commits().find(|(s, ..)| *s == seq) {
        Some((_, _, Commit::Outer(o))) => o.tokens,
        Some((_, _, Commit::Step(s))) => s.tokens,
        _ => 0,
    };
    let checkpoint = RunCheckpoint {
        run: view.run(),
        epoch: view.head().epoch,
        seq,
        tokens,
        spec: view.genesis().spec,
        layout,
        state,
        config: &serde_json::Value::Object(hugging_face::write(model)),
        extra: &tokenizer(body)?,
    };
    let m = store.wait(run_checkpoint::save(store.store(), &checkpoint))?;
    Ok(StoredCheckpoint { seq, state: m.state, bytes: m.bytes() })
}

/// The tokenizer as `transformers` opens it, for those who open the checkpoint.
fn tokenizer(body: &Body) -> Result<Vec<(String, Bytes)>, Failure> {
    let files = coalition_data::hugging_face::files(&body.samples().dataset().tokenizer()?)
        .map_err(|e| Failure::bug(format!("the tokenizer has no form: {e}")))?;
    Ok(files.into_iter().map(|(name, text)| (name.to_owned(), Bytes::from(text))).collect())
}

/// The run checkpoints that stand in the store, with their states as their manifests say, unless the history says
/// otherwise. Those that are passed by are told to `once`.
pub fn stored(store: &BlockingStore, view: &View, once: &mut Once) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let (mut out, mut passed) = (Vec::new(), Vec::new());
    for seq in store.wait(run_checkpoint::list(store.store(), view.run()))? {
        match store.wait(run_checkpoint::manifest(store.store(), view.run(), seq)) {
            Ok(m) if view.state(seq).is_none_or(|(fixed, _)| fixed == m.state) => {
                out.push(StoredCheckpoint { seq, state: m.state, bytes: m.bytes() });
            }
            Ok(m) => passed.push(format!("run checkpoint {seq} holds state {}, not the one of the history", m.state)),
            Err(e) => passed.push(format!("run checkpoint {seq} is passed by: {e}")),
        }
    }
    once.warn(passed.join("; "));
    Ok(out)
}
