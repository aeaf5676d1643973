//! Whether the site does what the hub asks, or refuses it by name: what exceeds the owner's settings is never cut down silently.
//! Pure.
use std::collections::BTreeMap;

use coalition_crds::site_run::SiteRunSpec;

use crate::settings::{NamespacePair, Settings};

/// Features of a request that this version knows.
pub const FEATURES: &[&str] = &[];

/// Where a request's gang goes, or why it is refused: reason and words, as a report carries them.
pub fn admit<'a>(settings: &'a Settings, asked: &SiteRunSpec) -> Result<&'a NamespacePair, BTreeMap<String, String>> {
    let mut refusals = BTreeMap::new();
    let mut refuse = |reason: &str, words: String| refusals.insert(reason.to_owned(), words);
    let pair = settings.pair(&asked.training_run.namespace);
    if pair.is_none() {
        let words = format!(
            "runs of the hub's namespace {} are not taken here: the site's owner lists it under `namespaces`",
            asked.training_run.namespace
        );
        refuse("NamespaceNotListed", words);
    }
    if asked.message.site != settings.name {
        let words = format!("the request is for site {}, and this is {}", asked.message.site, settings.name);
        refuse("OtherSite", words);
    }
    if let Some(image) = asked.shape.image.as_deref().filter(|i| !settings.allows_image(i)) {
        let words = format!("image {image} is not allowed here: the site's owner lists it under `allowedImages`");
        refuse("ImageNotAllowed", words);
    }
    let class = asked.shape.priority_class_name.as_deref();
    if let Some(class) = class.filter(|c| !settings.priority_classes.contains_key(*c)) {
        let words =
            format!("PriorityClass {class} of the hub is none here: the site's owner maps it under `priorityClasses`");
        refuse("PriorityClassNotMapped", words);
    }
    let unknown: Vec<&str> =
        asked.message.requires.iter().map(String::as_str).filter(|f| !FEATURES.contains(f)).collect();
    if !unknown.is_empty() {
        let words = format!("this site does not know {}: upgrade its operator", unknown.join(", "));
        refuse("FeatureUnknown", words);
    }
    let (shape, limits) = (&asked.shape, &settings.limits);
    if shape.workers > limits.workers {
        let words = format!("{} workers are asked for, the owner allows {}", shape.workers, limits.workers);
        refuse("TooManyWorkers", words);
    }
    if shape.cpu_threads > limits.cpu_threads {
        let words =
            format!("{} threads a worker are asked for, the owner allows {}", shape.cpu_threads, limits.cpu_threads);
        refuse("TooManyThreads", words);
    }
    pair.filter(|_| refusals.is_empty()).ok_or(refusals)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples;

    fn reasons(settings: &Settings, change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        let mut asked = samples::asked(json!({"workers": 2, "cpuThreads": 1}));
        change(&mut asked);
        let asked: SiteRunSpec = serde_json::from_value(asked).unwrap();
        admit(settings, &asked).err().map(|r| r.into_keys().collect()).unwrap_or_default()
    }

    #[test]
    fn what_settings_do_not_allow_is_refused_by_name() {
        let s = Settings { limits: crate::settings::Limits { workers: 2, cpu_threads: 4 }, ..samples::settings() };
        assert_eq!(reasons(&s, |_| {}), [] as [&str; 0]);
        assert_eq!(reasons(&s, |a| a["trainingRun"]["namespace"] = json!("x")), ["NamespaceNotListed"]);
        assert_eq!(reasons(&s, |a| a["site"] = json!("south")), ["OtherSite"]);
        assert_eq!(reasons(&s, |a| a["shape"]["image"] = json!("evil:1")), ["ImageNotAllowed"]);
        assert_eq!(reasons(&s, |a| a["shape"]["priorityClassName"] = json!("mine")), ["PriorityClassNotMapped"]);
        assert_eq!(reasons(&s, |a| a["shape"]["priorityClassName"] = json!("founding")), [] as [&str; 0]);
        assert_eq!(reasons(&s, |a| a["requires"] = json!(["gpu"])), ["FeatureUnknown"]);
        assert_eq!(reasons(&s, |a| a["shape"]["workers"] = json!(3)), ["TooManyWorkers"]);
        assert_eq!(reasons(&s, |a| a["shape"]["cpuThreads"] = json!(5)), ["TooManyThreads"]);
    }
}
