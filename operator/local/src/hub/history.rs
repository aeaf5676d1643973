//! The history as a folder of create-only files: creating file N is the compare-and-swap of appending record N, so of two
//! hubs on one folder one loses, whatever each believes.
use std::sync::Arc;

use coalition_protocol::Seq;
use coalition_protocol::history::View;
use coalition_protocol::record::Record;
use coalition_protocol::sign::{HubKey, SignedRecord};

use crate::LocalError;
use crate::durable::{self, Mode};
use crate::layout::Layout;

/// The chain of one run on disk, and the hub's key that signs it.
#[derive(Debug)]
pub struct Chain {
    layout: Layout,
    key: HubKey,
    records: Arc<Vec<SignedRecord>>,
}

impl Chain {
    /// Reads the whole chain and checks every link and signature; makes the key if there is none. Returns what follows from
    /// the records too; none before genesis.
    pub fn open(layout: &Layout) -> Result<(Self, Option<View>), LocalError> {
        durable::folder(&layout.history())?;
        durable::sweep(&layout.hub())?;
        durable::sweep(&layout.history())?;
        let key = key(layout)?;
        let mut records = Vec::new();
        loop {
            let next = records.len() as u64;
            match durable::read_json::<SignedRecord>(&layout.record(Seq(next))) {
                Ok(Some(r)) => records.push(r),
                Ok(None) => break,
                Err(LocalError::Damaged { path, what }) if after(layout, next + 1)?.is_none() => {
                    let what =
                        format!("{what}, or, as it is the newest, move it away: it comes back from a site's mirror");
                    return Err(LocalError::Damaged { path, what });
                }
                Err(e) => return Err(e),
            }
        }
        if let Some((first, last)) = after(layout, records.len() as u64)? {
            return Err(LocalError::Input {
                path: layout.record(Seq(records.len() as u64)),
                what: format!(
                    "this record is missing, and records {first} to {last} stand after it: put it back from a copy of the \
                     folder. If there is none, move those out of the folder: what is missing at the end of a history comes \
                     back from the stores of the sites, what is missing in between does not"
                ),
            });
        }
        let damaged = |path, what: String| LocalError::Damaged { path, what };
        let view = View::replay(&records)
            .map_err(|e| damaged(layout.history(), format!("{e}: restore the folder from a copy")))?;
        if view.as_ref().is_some_and(|v| v.key() != key.public()) {
            let what = "it is not the key that genesis names: restore it from a copy".to_owned();
            return Err(damaged(layout.key(), what));
        }
        Ok((Self { layout: layout.clone(), key, records: Arc::new(records) }, view))
    }

    /// All records.
    pub fn records(&self) -> Arc<Vec<SignedRecord>> {
        self.records.clone()
    }

    /// The public half of the hub's key, for genesis.
    pub fn public_key(&self) -> String {
        self.key.public().0
    }

    /// Signs and appends the next record, durably. That it is a legal successor is checked by whoever made it.
    pub fn append(&mut self, record: Record) -> Result<(), LocalError> {
        let seq = record.seq;
        let bug = |e: String| LocalError::Bug(format!("record {seq} was refused: {e}"));
        if seq.0 != self.records.len() as u64 {
            return Err(bug(format!("{} is next", self.records.len())));
        }
        let signed = self.key.sign(record).map_err(|e| bug(e.to_string()))?;
        self.write(signed)
    }

    /// Appends a record that was signed in an earlier life, durably and as it is. That it follows is checked by whoever
    /// found it.
    pub fn adopt(&mut self, signed: SignedRecord) -> Result<(), LocalError> {
        if signed.record.seq.0 != self.records.len() as u64 {
            let (seq, next) = (signed.record.seq, self.records.len());
            return Err(LocalError::Bug(format!("record {seq} came back where {next} is next")));
        }
        self.write(signed)
    }

    fn write(&mut self, signed: SignedRecord) -> Result<(), LocalError> {
        let seq = signed.record.seq;
        let bug = |e: String| LocalError::Bug(format!("record {seq} was refused: {e}"));
        let path = self.layout.record(seq);
        let mut bytes = serde_json::to_vec_pretty(&signed).map_err(|e| bug(e.to_string()))?;
        bytes.push(b'\n');
        if !durable::create(&path, &bytes, Mode::Plain)? {
            return Err(LocalError::Rival { seq: seq.0, path });
        }
        Arc::make_mut(&mut self.records).push(signed);
        Ok(())
    }
}

/// The first and the last record in the folder from `next` on, if there is one.
fn after(layout: &Layout, next: u64) -> Result<Option<(u64, u64)>, LocalError> {
    let folder = layout.history();
    let entries = std::fs::read_dir(&folder).map_err(|e| LocalError::read(&folder, &e))?;
    let number = |name: &str| name.strip_suffix(".json")?.parse::<u64>().ok();
    let beyond: Vec<u64> =
        entries.flatten().filter_map(|e| number(&e.file_name().to_string_lossy())).filter(|n| *n >= next).collect();
    Ok(beyond.iter().min().copied().zip(beyond.iter().max().copied()))
}

/// The hub's key: 32 bytes, hexadecimal, readable by its owner alone.
fn key(layout: &Layout) -> Result<HubKey, LocalError> {
    let path = layout.key();
    if !path.exists() {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| LocalError::Bug(format!("no random bytes: {e}")))?;
        durable::create(&path, hex::encode(seed).as_bytes(), Mode::Secret)?;
    }
    let text = std::fs::read_to_string(&path).map_err(|e| LocalError::read(&path, &e))?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| LocalError::Damaged {
        path,
        what: "it is not 64 hexadecimal characters: restore it from a copy".to_owned(),
    })?;
    Ok(HubKey::from_seed(&seed))
}
