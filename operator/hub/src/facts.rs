//! Which sites may take part in a run, and what is fixed of it before its first record, from what sites say of themselves. Pure:
//! must not know how their words came here.
use std::collections::BTreeMap;

use coalition_crds::names::SITE_LABEL;
use coalition_crds::site::{DataSetFacts, Facts, Site, StoreState};
use coalition_outer::VectorLayout;
use coalition_protocol::{Digest, SiteId};
use coalition_spec::RunSpec;

/// A site that a run's selector matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Why it cannot take part, in words; none if it can.
    pub refusal: Option<String>,
    /// Its labels, with its own name among them.
    pub labels: BTreeMap<String, String>,
}

/// What is fixed before the first record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Digest of the data set that most sites have under the run's name for it; none while no site has one.
    pub data: Option<Digest>,
    /// Samples in one pass over it.
    pub samples_per_pass: u64,
    /// Elements of the padded parameter vector (D3).
    pub elements: u64,
}

/// The labels of a site: those of its object, and its name.
pub fn labels(site: &Site) -> BTreeMap<String, String> {
    let mut labels = site.metadata.labels.clone().unwrap_or_default();
    labels.insert(SITE_LABEL.to_owned(), site.metadata.name.clone().unwrap_or_default());
    labels
}

/// What is fixed of `spec`, given the sites' words on themselves.
pub fn fixed<'a>(spec: &RunSpec, facts: impl IntoIterator<Item = &'a Facts>) -> Fixed {
    let mut votes: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for found in facts.into_iter().filter_map(|f| data_set(spec, f)) {
        let entry = votes.entry(found.digest.as_str()).or_insert((0, 0));
        *entry = (entry.0 + 1, u64::try_from(found.tokens).unwrap_or(0));
    }
    // The one that most sites have; of equally many the first by digest, so that every hub chooses alike.
    let most = votes.into_iter().rev().max_by_key(|(_, (n, _))| *n);
    let elements = VectorLayout::new(spec.model.config.parameters().into_iter().map(|p| (p.name, p.shape)));
    let length = (spec.data.sequence_length as u64).max(1);
    Fixed {
        data: most.and_then(|(digest, _)| digest.parse().ok()),
        // A window shares its last token with the next one.
        samples_per_pass: most.map_or(0, |(_, (_, tokens))| tokens.saturating_sub(1) / length),
        elements: elements.map_or(0, |l| l.elements() as u64),
    }
}

/// Whether and how the site can take part in a run of `namespace`.
pub fn candidate(
    site: &Site,
    facts: Option<&Facts>,
    spec: &RunSpec,
    namespace: &str,
    data: Option<Digest>,
) -> Candidate {
    let refusal = match facts {
        None => Some("it has not told what it has yet".to_owned()),
        Some(_) if site.spec.cordoned => Some("it is cordoned: it takes no new part of any run".to_owned()),
        Some(f) => f.refusal.clone().or_else(|| refused(f, spec, namespace, data)),
    };
    let labels = labels(site);
    let refusal = refusal.or_else(|| {
        let shaped = spec.site_templates.iter().any(|t| coalition_spec::run::matches(&t.selector, &labels));
        (!shaped).then(|| {
            "no entry of spec.siteTemplates matches its labels: add one without a selector as the last".to_owned()
        })
    });
    Candidate { refusal, labels }
}

fn refused(f: &Facts, spec: &RunSpec, namespace: &str, data: Option<Digest>) -> Option<String> {
    if !f.namespaces.iter().any(|n| n == namespace) {
        return Some(format!(
            "it does not list namespace {namespace}: its owner adds it to `namespaces` in the site's settings"
        ));
    }
    if f.store.state != StoreState::Usable && f.store.state != StoreState::Unknown {
        return Some(format!("its store cannot be used: {}", f.store.message));
    }
    let Some(found) = data_set(spec, f) else {
        let known: Vec<&str> = f.data_sets.iter().map(|d| d.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Some(format!("it has no data set {}; it has: {known}", spec.data.dataset));
    };
    let words = spec.model.config.vocab_size as u64;
    if u64::try_from(found.vocabulary).is_ok_and(|v| v > words) {
        return Some(format!(
            "its data set {} has a vocabulary of {} words, the model has {words}: choose a model with more, or other data",
            found.name, found.vocabulary
        ));
    }
    match data {
        Some(digest) if found.digest != digest.to_string() => Some(format!(
            "its data set {} is another one than the run trains on (digest {}…, wanted {})",
            found.name,
            found.digest.get(..12).unwrap_or_default(),
            digest.short()
        )),
        _ => None,
    }
}

fn data_set<'a>(spec: &RunSpec, facts: &'a Facts) -> Option<&'a DataSetFacts> {
    facts.data_sets.iter().find(|d| d.name == spec.data.dataset)
}

/// The sites of these objects that the run's selector matches.
pub fn matching<'a>(spec: &RunSpec, sites: impl IntoIterator<Item = &'a Site>) -> Vec<(SiteId, &'a Site)> {
    let fits = |s: &&Site| coalition_spec::run::matches(&spec.sites.selector, &labels(s));
    let named = |s: &'a Site| Some((s.metadata.name.as_deref()?.parse().ok()?, s));
    sites.into_iter().filter(fits).filter_map(named).collect()
}
