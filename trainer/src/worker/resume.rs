//! Where a new attempt goes on from (D22): the newest site checkpoint, exactly or on another class; else the outer state,
//! with moments of its own if they are young, else from zero (D23); else the beginning. Must not know decisions.
mod moments;

use std::collections::BTreeMap;

use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::history::View;
use coalition_protocol::messages::{Moments, Resume};
use coalition_protocol::{Digest, Round, Seq, exit};
use coalition_spec::run::Init;
use coalition_store::log::{CommitLog, LogName, LogWriter, SiteEntry};
use coalition_store::tensors::Tensor;
use coalition_store::{BlockingStore, StoreError};
use serde::Serialize;

use super::cursor::Cursor;
use super::next::Fence;
use super::outer_state::{Beginning, Source};
use super::rank::Body;
use crate::events::emit;
use crate::failure::{Failure, Stop};

/// A restored site.
pub struct Restored {
    /// The right to append to the log.
    pub log: LogWriter,
    /// Where it stands.
    pub cursor: Cursor,
    /// O after the cursor's commit.
    pub outer: OuterState,
    /// The newest site checkpoint, if it was resumed from one.
    pub saved: Option<(Cursor, SiteEntry)>,
    /// How.
    pub how: Resume,
    /// On which moments.
    pub moments: Moments,
}

#[derive(Serialize)]
struct Damaged<'a> {
    what: String,
    message: &'a str,
}

/// What a restoration stands on.
pub struct Place<'a> {
    /// The own store.
    pub store: &'a BlockingStore,
    /// The history.
    pub view: &'a View,
    /// The layout.
    pub layout: &'a VectorLayout,
    /// Whose log.
    pub name: LogName,
    /// The fence of the new attempt.
    pub fence: Fence,
    /// The class of this gang.
    pub class: Digest,
    /// Where the first parameters come from.
    pub init: &'a Init,
}

/// Restores `body` and says where it stands. The first thing written is the attempt's fence, so that older attempts end.
pub fn resume(place: &Place<'_>, body: &mut Body) -> Result<Restored, Stop> {
    let log = CommitLog::new(place.store.store(), place.name.clone());
    let writer = place.store.wait(log.fence(place.fence.attempt))?;
    body.trainer.init(place.init.seed);
    let drawn = body.trainer.params().to_vec();
    let beginning = place.init.from.as_ref().map_or(Beginning::Drawn(&drawn), Beginning::From);
    let source = Source { store: place.store, view: place.view, layout: place.layout, beginning };
    let mut unreached = Vec::new();
    for entry in writer.kept().to_vec() {
        match from_checkpoint(place, &log, &entry, &source, body) {
            Ok(Some((cursor, outer, how))) => {
                let saved = Some((cursor.clone(), entry));
                return Ok(Restored { log: writer, cursor, outer, saved, how, moments: Moments::Own });
            }
            Ok(None) => unreached.push(entry),
            Err(Attempted::Damaged(message)) => passed_by(&entry, &message),
            Err(Attempted::Stop(s)) => return Err(s),
        }
    }
    let (seq, outer) = source.farthest()?;
    let round = place.view.commits().find(|(s, ..)| *s == seq).map_or(Round(0), |(_, round, _)| round);
    body.trainer.set_params(outer.theta())?;
    let own = moments::own(place, &log, &unreached, round)?;
    let moments = if let Some(own) = &own {
        body.trainer.set_moments(&own.m, &own.v, own.adam_count)?;
        Moments::Own
    } else {
        body.trainer.reset_moments();
        Moments::Zero
    };
    let cursor = Cursor::rejoined(seq, round, outer.digest(), own.as_ref().map(|o| &o.cursor));
    let how = if seq == Seq(0) { Resume::Fresh } else { Resume::Outer };
    Ok(Restored { log: writer, cursor, outer, saved: None, how, moments })
}

/// A checkpoint that cannot be used is told, and the next one is tried.
fn passed_by(entry: &SiteEntry, message: &str) {
    tracing::warn!("site checkpoint {} is passed by: {message}", entry.n);
    emit("damaged", Damaged { what: format!("site checkpoint {}", entry.n), message });
}

enum Attempted {
    Damaged(String),
    Stop(Stop),
}

impl From<StoreError> for Attempted {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Damaged { .. } | StoreError::NotFound { .. } => Self::Damaged(e.to_string()),
            e => Self::Stop(e.into()),
        }
    }
}

fn from_checkpoint(
    place: &Place<'_>,
    log: &CommitLog,
    entry: &SiteEntry,
    source: &Source<'_>,
    body: &mut Body,
) -> Result<Option<(Cursor, OuterState, Resume)>, Attempted> {
    let loaded = place.store.wait(log.load(entry))?;
    let broken = |what: String| Attempted::Damaged(format!("site checkpoint {}: {what}", entry.n));
    let (cursor, adam_count) = read_cursor(&loaded.manifest.cursor).map_err(broken)?;
    let x = vector(place.layout, &loaded.groups, "x").map_err(broken)?;
    let m = vector(place.layout, &loaded.groups, "m").map_err(broken)?;
    let v = vector(place.layout, &loaded.groups, "v").map_err(broken)?;
    let Some(outer) = source.at(cursor.applied).map_err(Attempted::Stop)? else {
        tracing::warn!("the outer state of record {} cannot be reached from this store", cursor.applied);
        return Ok(None);
    };
    if outer.digest() != cursor.state {
        return Err(broken(format!("it stands on state {}, the store gives {}", cursor.state, outer.digest())));
    }
    let engine = |e: coalition_engine::Error| Attempted::Stop(e.into());
    body.trainer.set_params(&x).map_err(engine)?;
    body.trainer.set_moments(&m, &v, adam_count).map_err(engine)?;
    let how = if loaded.manifest.class == place.class { Resume::Exact } else { Resume::Reshard };
    Ok(Some((cursor, outer, how)))
}

/// The cursor and Adam count as they stand in a manifest.
pub fn read_cursor(value: &serde_json::Value) -> Result<(Cursor, u64), String> {
    let adam = value.get("adamCount").and_then(serde_json::Value::as_u64).ok_or("its cursor has no adamCount")?;
    let cursor = value.get("cursor").cloned().ok_or("its cursor is empty")?;
    Ok((serde_json::from_value(cursor).map_err(|e| format!("its cursor cannot be read: {e}"))?, adam))
}

/// The cursor and Adam count as they are written.
pub fn write_cursor(cursor: &Cursor, adam_count: u64) -> Result<serde_json::Value, Failure> {
    let cursor = serde_json::to_value(cursor).map_err(|e| Failure::bug(format!("a cursor without words: {e}")))?;
    Ok(serde_json::json!({"adamCount": adam_count, "cursor": cursor}))
}

fn vector(layout: &VectorLayout, groups: &BTreeMap<String, Vec<Tensor>>, group: &str) -> Result<Vec<f32>, String> {
    let list = groups.get(group).ok_or_else(|| format!("it has no group {group}"))?;
    if list.len() != layout.tensors().len() {
        return Err(format!("{group} has {} tensors, the model has {}", list.len(), layout.tensors().len()));
    }
    let mut out = layout.zeros();
    for t in list {
        let data = t.to_f32().ok_or_else(|| format!("{group} {} is not f32", t.name))?;
        layout.put(&mut out, &t.name, &data).map_err(|e| e.to_string())?;
    }
    Ok(out)
}

/// The layout of the run's parameters, checked against genesis.
pub fn layout(spec: &coalition_spec::RunSpec, elements: u64) -> Result<VectorLayout, Failure> {
    let list = spec.model.config.parameters().into_iter().map(|p| (p.name, p.shape));
    let layout = VectorLayout::new(list)?;
    if layout.elements() as u64 == elements {
        Ok(layout)
    } else {
        Err(Failure::new(
            exit::CONFIG,
            format!(
                "the model has {} elements, genesis says {elements}: the run was begun by another version",
                layout.elements()
            ),
        ))
    }
}
