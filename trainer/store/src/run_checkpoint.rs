//! Run checkpoints (D20): the outer state after a commit, stored as a base. Knows nothing of how it came about.
//!
//! The folder of a base holds `model.safetensors` and `config.json` as Hugging Face names them, so
//! `AutoModelForCausalLM.from_pretrained(FOLDER)` opens it, and `AutoTokenizer` with the files that a caller adds (bases
//! written before those were added lack them and open all the same); the momentum lies beside them in
//! `momentum*.safetensors`, and the manifest comes last. Equal states make equal bytes at every site. Later states are this
//! base plus the contributions since, replayed by whoever loads it.
use bytes::Bytes;
use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::{Digest, Epoch, RunId, Seq, keys};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::manifest;
use crate::store::Store;
use crate::tensors::{self, Dtype, FileEntry, Tensor, TensorEntry};

/// Version of the manifest's format.
pub const VERSION: u32 = 1;
/// Group of the parameters.
pub const THETA: &str = "theta";
/// Group of the momentum.
pub const MOMENTUM: &str = "u";
/// Name of the model's configuration.
pub const CONFIG: &str = "config.json";

/// What to save.
#[derive(Clone, Copy, Debug)]
pub struct RunCheckpoint<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The epoch of the commit.
    pub epoch: Epoch,
    /// The commit.
    pub seq: Seq,
    /// T after it.
    pub tokens: u64,
    /// Digest of the run's immutable part, from genesis.
    pub spec: Digest,
    /// How the parameters lie in the vector.
    pub layout: &'a VectorLayout,
    /// The state.
    pub state: &'a OuterState,
    /// The model's Hugging Face configuration.
    pub config: &'a serde_json::Value,
    /// Further files for those who open it, such as `tokenizer.json`: name and bytes.
    pub extra: &'a [(String, Bytes)],
}

/// What stands in a run checkpoint's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunManifest {
    /// Format version, [`VERSION`].
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The epoch of the commit.
    pub epoch: Epoch,
    /// The commit.
    pub seq: Seq,
    /// T after it.
    pub tokens: u64,
    /// Digest of the run's immutable part.
    pub spec: Digest,
    /// D(O).
    pub state: Digest,
    /// Elements of the padded vector.
    pub elements: u64,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// Its tensors.
    pub tensors: Vec<TensorEntry>,
}

impl RunManifest {
    /// Bytes of its data.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// Saves a base. Saving the same state again changes nothing. One whose manifest is damaged stands for nothing any more: it
/// is removed, which unmakes the set, and the base is written anew.
pub async fn save(store: &Store, checkpoint: &RunCheckpoint<'_>) -> Result<RunManifest, StoreError> {
    let taken = match write(store, checkpoint).await {
        Err(taken @ StoreError::AlreadyExists { .. }) => taken,
        other => return other,
    };
    match manifest(store, checkpoint.run, checkpoint.seq).await {
        Err(e @ StoreError::Damaged { .. }) => {
            tracing::warn!("run checkpoint {} is written anew: {e}", checkpoint.seq);
            unmake(store, checkpoint.run, checkpoint.seq).await?;
            write(store, checkpoint).await
        }
        _ => Err(taken),
    }
}

/// Removes the manifest of a base, so that it stands for nothing and can be written anew: for one whose manifest is damaged,
/// or whose state was found to be wrong (D17).
pub async fn unmake(store: &Store, run: &RunId, seq: Seq) -> Result<(), StoreError> {
    store.delete(&manifest::key(&keys::checkpoint(run, seq), manifest::NAME)).await
}

async fn write(store: &Store, checkpoint: &RunCheckpoint<'_>) -> Result<RunManifest, StoreError> {
    let folder = keys::checkpoint(checkpoint.run, checkpoint.seq);
    let bad = |reason: String| StoreError::BadValue { key: folder.clone(), reason };
    let layout = checkpoint.layout;
    let mut files = Vec::new();
    let mut lines = Vec::new();
    for (group, stem, vector) in
        [(THETA, "model", checkpoint.state.theta()), (MOMENTUM, "momentum", checkpoint.state.u())]
    {
        layout.check_vector(group, vector).map_err(|e| bad(e.to_string()))?;
        let all =
            layout.tensors().iter().map(|t| Tensor::f32(t.name.clone(), t.shape.clone(), &vector[t.range()])).collect();
        let parts = tensors::split(all);
        let count = parts.len();
        let first = lines.len();
        for (n, part) in parts.into_iter().enumerate() {
            // The names that transformers looks for.
            let name = match count {
                1 => format!("{stem}.safetensors"),
                _ => format!("{stem}-{:05}-of-{count:05}.safetensors", n + 1),
            };
            let e = tensors::encode(group, &name, part).map_err(&bad)?;
            manifest::put_data(store, &folder, &name, e.parts, e.file.blake3).await?;
            files.push(e.file);
            lines.extend(e.tensors);
        }
        if count > 1 {
            let name = format!("{stem}.safetensors.index.json");
            files.push(put_small(store, &folder, &name, index(&lines[first..]).map_err(&bad)?).await?);
        }
    }
    let config = serde_json::to_vec_pretty(checkpoint.config).map_err(|e| bad(e.to_string()))?;
    files.push(put_small(store, &folder, CONFIG, config.into()).await?);
    for (name, bytes) in checkpoint.extra {
        files.push(put_small(store, &folder, name, bytes.clone()).await?);
    }
    let manifest = RunManifest {
        version: VERSION,
        run: checkpoint.run.clone(),
        epoch: checkpoint.epoch,
        seq: checkpoint.seq,
        tokens: checkpoint.tokens,
        spec: checkpoint.spec,
        state: checkpoint.state.digest(),
        elements: layout.elements() as u64,
        files,
        tensors: lines,
    };
    manifest::check(store, &folder, &manifest.files, &manifest.tensors)?;
    manifest::put(store, &folder, manifest::to_json(&folder, &manifest)?).await?;
    Ok(manifest)
}

async fn put_small(store: &Store, folder: &str, name: &str, bytes: Bytes) -> Result<FileEntry, StoreError> {
    let entry = FileEntry { name: name.to_owned(), bytes: bytes.len() as u64, blake3: Digest::of(&bytes) };
    manifest::put_data(store, folder, name, vec![bytes], entry.blake3).await?;
    Ok(entry)
}

/// The index that transformers reads when a model lies in several files.
fn index(lines: &[TensorEntry]) -> Result<Bytes, String> {
    let total: u64 = lines.iter().map(|t| t.bytes).sum();
    let map: std::collections::BTreeMap<&str, &str> =
        lines.iter().map(|t| (t.name.as_str(), t.file.as_str())).collect();
    let value = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    serde_json::to_vec_pretty(&value).map(Bytes::from).map_err(|e| e.to_string())
}

/// Reads the manifest of a base.
pub async fn manifest(store: &Store, run: &RunId, seq: Seq) -> Result<RunManifest, StoreError> {
    let folder = keys::checkpoint(run, seq);
    let (m, _): (RunManifest, _) = manifest::get(store, &folder, VERSION, None).await?;
    if (&m.run, m.seq) != (run, seq) {
        let (expected, got) = (format!("run {run}, seq {seq}"), format!("run {}, seq {}", m.run, m.seq));
        return Err(StoreError::damaged(store.name(), &manifest::key(&folder, manifest::NAME), expected, got));
    }
    manifest::check(store, &folder, &m.files, &m.tensors)?;
    Ok(m)
}

/// Reads a base whole and proves it: every file against its digest, the state against D(O) in the manifest. Compare that
/// with the history before using it.
pub async fn load(
    store: &Store,
    run: &RunId,
    seq: Seq,
    layout: &VectorLayout,
) -> Result<(RunManifest, OuterState), StoreError> {
    let m = manifest(store, run, seq).await?;
    let folder = keys::checkpoint(run, seq);
    let damaged = |expected: String, got: String| StoreError::damaged(store.name(), &folder, expected, got);
    let theta = vector(store, &folder, &m, THETA, layout).await?;
    let u = vector(store, &folder, &m, MOMENTUM, layout).await?;
    let state = OuterState::new(theta, u).map_err(|e| damaged("θ and u of one length".to_owned(), e.to_string()))?;
    let got = state.digest();
    if got != m.state {
        return Err(damaged(format!("state digest {}", m.state), got.to_string()));
    }
    Ok((m, state))
}

/// Compares every file of a base with its digest, without building the state: for a copy that someone else will load.
pub async fn verify(store: &Store, run: &RunId, seq: Seq) -> Result<RunManifest, StoreError> {
    let m = manifest(store, run, seq).await?;
    let folder = keys::checkpoint(run, seq);
    for f in &m.files {
        manifest::get_file(store, &folder, f).await?;
    }
    Ok(m)
}

async fn vector(
    store: &Store,
    folder: &str,
    m: &RunManifest,
    group: &str,
    layout: &VectorLayout,
) -> Result<Vec<f32>, StoreError> {
    let list = manifest::read_group(store, folder, &m.files, &m.tensors, group).await?;
    let damaged = |got: String| {
        StoreError::damaged(
            store.name(),
            folder,
            format!("{group} of this run's {} tensors", layout.tensors().len()),
            got,
        )
    };
    if list.len() != layout.tensors().len() {
        return Err(damaged(format!("{} tensors", list.len())));
    }
    let mut out = layout.zeros();
    for t in list {
        let right = layout.tensor(&t.name).is_some_and(|l| l.shape == t.shape) && t.dtype == Dtype::F32;
        match t.to_f32().filter(|_| right) {
            Some(data) => layout.put(&mut out, &t.name, &data).map_err(|e| damaged(e.to_string()))?,
            None => return Err(damaged(format!("{} with shape {:?} and type {:?}", t.name, t.shape, t.dtype))),
        }
    }
    Ok(out)
}

/// The commits whose bases stand complete in the store, in rising order.
pub async fn list(store: &Store, run: &RunId) -> Result<Vec<Seq>, StoreError> {
    let root = keys::checkpoints(run);
    let mut out: Vec<Seq> = store
        .list(&root)
        .await?
        .iter()
        .filter_map(|o| o.key.strip_prefix(&root)?.strip_prefix('/')?.strip_suffix(&format!("/{}", manifest::NAME)))
        .filter_map(|n| n.parse().ok().map(Seq))
        .collect();
    out.sort_unstable();
    Ok(out)
}

/// The newest base at or before `seq`: where loading O(`seq`) begins.
pub async fn newest_base(store: &Store, run: &RunId, seq: Seq) -> Result<Option<Seq>, StoreError> {
    Ok(list(store, run).await?.into_iter().rev().find(|s| *s <= seq))
}
