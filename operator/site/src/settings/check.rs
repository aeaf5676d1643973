//! What settings must hold beyond their form. Every refusal names the field, the value and what would do. Pure.
use std::collections::BTreeSet;

use super::Settings;

/// Workers need so many seconds to save and leave (`coalition_protocol::leave`).
const LEAST_GRACE: u32 = coalition_protocol::leave::GRACE.as_secs() as u32;
/// Longest time a pod may take to leave: a node that is drained waits for it.
const MOST_GRACE: u32 = 3600;

/// The first thing that is wrong.
pub fn check(s: &Settings) -> Result<(), String> {
    if s.namespaces.is_empty() {
        return Err(
            "namespaces: is empty: list at least one as {hub: NAME, site: NAME}, or no run can come here".into()
        );
    }
    let mut seen = BTreeSet::new();
    for (i, pair) in s.namespaces.iter().enumerate() {
        for (field, value) in [("hub", &pair.hub), ("site", &pair.site), ("serviceAccount", &pair.service_account)] {
            label(&format!("namespaces[{i}].{field}"), value)?;
        }
        if !seen.insert(&pair.hub) {
            return Err(format!("namespaces[{i}].hub: {} is listed twice: runs of one go to one place", pair.hub));
        }
    }
    if s.image.is_empty() {
        return Err("image: is empty: name the trainer's image".into());
    }
    let grace = s.worker.termination_grace_period_seconds;
    if !(LEAST_GRACE..=MOST_GRACE).contains(&grace) {
        return Err(format!(
            "worker.terminationGracePeriodSeconds: is {grace}: must be {LEAST_GRACE} to {MOST_GRACE}; in less a trainer cannot \
             save and say that it left"
        ));
    }
    if s.limits.workers < 1 || s.limits.cpu_threads < 1 {
        return Err("limits: workers and cpuThreads must be at least 1; use ownerStop to stop training here".into());
    }
    bucket("store.url", &s.store.url)?;
    if let Some(endpoint) = &s.store.endpoint {
        address("store.endpoint", endpoint)?;
    }
    label("store.secretName", &s.store.secret_name)?;
    let mut seen = BTreeSet::new();
    for (i, d) in s.data_sets.iter().enumerate() {
        label(&format!("datasets[{i}].name"), &d.name)?;
        bucket(&format!("datasets[{i}].url"), &d.url)?;
        if !seen.insert(&d.name) {
            return Err(format!(
                "datasets[{i}].name: {} is listed twice: give each data set a name of its own",
                d.name
            ));
        }
    }
    if let Some(endpoint) = &s.exchange.endpoint {
        address("exchange.endpoint", endpoint)?;
        if s.exchange.token_secret_name.is_none() {
            return Err(
                "exchange.tokenSecretName: is missing: an endpoint without a token would serve everybody".into()
            );
        }
    }
    s.gateway.url.as_ref().map_or(Ok(()), |u| address("gateway.url", u))
}

fn label(field: &str, value: &str) -> Result<(), String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = !value.starts_with('-') && !value.ends_with('-');
    if value.is_empty() || value.len() > 63 || !ends || !value.bytes().all(inner) {
        return Err(format!("{field}: is {value:?}: must be 1 to 63 lowercase letters, digits and '-'"));
    }
    Ok(())
}

fn bucket(field: &str, value: &str) -> Result<(), String> {
    let place: Result<coalition_store::Location, _> = value.parse();
    match place {
        Ok(coalition_store::Location::S3(_)) => Ok(()),
        Ok(_) => Err(format!("{field}: is {value:?}: must be s3://BUCKET/PREFIX, which every node can reach")),
        Err(e) => Err(format!("{field}: {e}")),
    }
}

fn address(field: &str, value: &str) -> Result<(), String> {
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) && !value.ends_with('/') => Ok(()),
        _ => {
            Err(format!("{field}: is {value:?}: must be an address such as http://HOST:PORT, without a '/' at its end"))
        }
    }
}
