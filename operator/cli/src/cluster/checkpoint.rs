//! `checkpoint`: the kept checkpoints of a namespace; pinning one sets `spec.pinned`, and nothing else. Must not know where the
//! bytes lie: sites do.
use coalition_crds::Checkpoint as Object;
use coalition_local::exit_code;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::{ClusterError, block, connect, error, print, render};
use crate::args::{Checkpoint, CheckpointList, CheckpointOne, Output};
use crate::out::{note, say};
use crate::show;
use crate::style;
use crate::table;

/// Does what was asked for.
pub fn checkpoint(c: &Checkpoint) -> Result<u8, ClusterError> {
    block(async {
        match c {
            Checkpoint::List(l) => list(l).await,
            Checkpoint::Show(one) => {
                let hub = connect::hub(&one.reach).await?;
                shown(&hub.get(&one.name).await?, one.output)
            }
            Checkpoint::Pin(one) => pin(one, true).await,
            Checkpoint::Unpin(one) => pin(one, false).await,
        }?;
        Ok(exit_code::OK)
    })
}

async fn list(l: &CheckpointList) -> Result<(), ClusterError> {
    let hub = connect::hub(&l.reach).await?;
    let mut all: Vec<Object> = hub.list(Some(&hub.namespace), &ListParams::default()).await?;
    if let Some(run) = &l.run {
        all.retain(|c| c.spec.run == *run || c.spec.run_id == *run);
    }
    all.sort_by(|a, b| (&a.spec.run_id, a.spec.seq).cmp(&(&b.spec.run_id, b.spec.seq)));
    match print::whole(&print::List::of(&all), l.output)? {
        Some(text) => say!("{text}"),
        None if all.is_empty() => {
            let of = l.run.as_ref().map_or_else(String::new, |r| format!(" of run {r}"));
            note!("there is no Checkpoint{of} in {}", error::place(&hub.called, Some(&hub.namespace)));
        }
        None => say!("{}", rows(&all, l.output == Output::Wide)),
    }
    Ok(())
}

async fn pin(one: &CheckpointOne, pinned: bool) -> Result<(), ClusterError> {
    let hub = connect::hub(&one.reach).await?;
    let before: Object = hub.get(&one.name).await?;
    if before.spec.pinned == pinned {
        note!("Checkpoint {} was {} already", one.name, if pinned { "pinned" } else { "not pinned" });
        return shown_if_whole(&before, one.output);
    }
    let after: Object = hub.merge(&one.name, &json!({"spec": {"pinned": pinned}})).await?;
    note!(
        "Checkpoint {} is {}",
        one.name,
        if pinned { "pinned: it stays whatever its policy's retention says" } else { "left to its policy's retention" }
    );
    shown_if_whole(&after, one.output)
}

/// The object, for machines that asked for it.
fn shown_if_whole(c: &Object, output: Output) -> Result<(), ClusterError> {
    if let Some(text) = print::whole(c, output)? {
        say!("{text}");
    }
    Ok(())
}

fn shown(c: &Object, output: Output) -> Result<(), ClusterError> {
    let text = print::whole(c, output)?.unwrap_or_else(|| words(c));
    say!("{text}");
    Ok(())
}

fn rows(all: &[Object], wide: bool) -> String {
    let mut header = vec!["NAME", "RUN", "RECORD", "TOKENS", "COPIES", "CONSISTENT", "PINNED"];
    if wide {
        header.extend(["BYTES", "DELETION", "STATE"]);
    }
    let row = |c: &Object| {
        let status = c.status.clone().unwrap_or_default();
        let mut row = vec![
            c.name_any(),
            c.spec.run.clone(),
            c.spec.seq.to_string(),
            status.tokens.map_or("-".to_owned(), render::count),
            copies(c),
            yes(status.consistent),
            yes(c.spec.pinned),
        ];
        if wide {
            let bytes = status.bytes.and_then(|b| u64::try_from(b).ok());
            row.extend([
                bytes.map_or("-".to_owned(), show::bytes),
                format!("{:?}", c.spec.deletion_policy),
                c.spec.state_digest.chars().take(12).collect(),
            ]);
        }
        row
    };
    table::plain(&header, all.iter().map(row))
}

/// One in words.
fn words(c: &Object) -> String {
    let status = c.status.clone().unwrap_or_default();
    let bytes = status.bytes.and_then(|b| u64::try_from(b).ok());
    let facts = [
        ("run", format!("{} ({})", c.spec.run, c.spec.run_id)),
        ("record", c.spec.seq.to_string()),
        ("tokens", status.tokens.map_or("-".to_owned(), render::count)),
        ("copies", copies(c)),
        ("consistent", if status.consistent { "yes".to_owned() } else { "no: not at enough sites yet".to_owned() }),
        ("pinned", yes(c.spec.pinned)),
        ("bytes", bytes.map_or("-".to_owned(), show::bytes)),
        ("deletion", format!("{:?}", c.spec.deletion_policy)),
        ("state", c.spec.state_digest.clone()),
        ("model", c.spec.model_digest.clone()),
    ];
    let mut out = vec![format!("Checkpoint {}/{}", c.namespace().unwrap_or_default(), style::strong(&c.name_any()))];
    out.extend(facts.iter().map(|(name, value)| format!("  {name:<11} {value}")));
    out.push("A new run of the same model in this namespace begins from it with".to_owned());
    out.push(format!("  spec: {{model: {{init: {{from: {{checkpoint: {}}}}}}}}}", c.name_any()));
    out.join("\n")
}

fn copies(c: &Object) -> String {
    let sites: Vec<&str> = c.status.iter().flat_map(|s| &s.copies).map(|x| x.site.as_str()).collect();
    if sites.is_empty() { "-".to_owned() } else { sites.join(",") }
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn object() -> Object {
        crate::cluster::object(include_str!("../../tests/objects/checkpoint.yaml"))
    }

    #[test]
    fn one_is_told_with_the_way_to_begin_from_it() {
        insta::assert_snapshot!(words(&object()));
    }

    #[test]
    fn many_are_rows() {
        let bare = Object { status: None, ..object() };
        insta::assert_snapshot!(format!("{}\n\n{}", rows(&[object()], false), rows(&[object(), bare], true)));
    }
}
