//! The most bytes that an object of each kind may take, as compact JSON: an API server holds all of them in memory and sends
//! each change whole to everyone who watches. Where lists grow together, a rule in the schema bounds their sum, and who
//! writes such an object fits it first. Must not know what a field means.
use serde::Serialize;

/// A TrainingRun, status included.
pub const TRAINING_RUN: usize = 64 << 10;
/// A SiteRun: each of 64 sites has one for every run, and reads every change of it over a wide-area line.
pub const SITE_RUN: usize = 32 << 10;
/// A SiteReport: twice a SiteRun, for the last log lines of failed workers.
pub const SITE_REPORT: usize = 64 << 10;
/// A RunHistory.
pub const RUN_HISTORY: usize = 256 << 10;
/// A Gang of 1024 workers in the site's own cluster. Stays below the 1.5 MiB that etcd takes in one request.
pub const GANG: usize = 1280 << 10;

/// Room in each budget for what every object has beside its own fields: names, labels, managedFields.
pub const METADATA: usize = 3 << 10;

/// The bytes of a value as compact JSON, as an API server stores it; the largest number if it has no JSON form.
pub fn bytes<T: Serialize>(value: &T) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |v| v.len())
}

/// An object that stays above its budget whatever is left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Which object, as `Kind/name`.
    pub object: String,
    /// What it takes, bytes (or the weight of its lists, in the same unit).
    pub bytes: usize,
    /// The bound.
    pub budget: usize,
    /// What makes it so large, and what to do about it.
    pub way_out: &'static str,
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { object, bytes, budget, way_out } = self;
        write!(f, "{object} takes {bytes} bytes and must take at most {budget}. {way_out}")
    }
}

impl std::error::Error for TooLarge {}

/// The first characters of a text, at most `characters`; one that was cut ends with "…".
pub fn shorten(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain("…".chars()).collect()
}
