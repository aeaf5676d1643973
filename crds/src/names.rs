//! Names that people and programs see: the group, its version, labels, and the pretended sites of one machine.

/// The API group.
pub const GROUP: &str = "coalition.training";
/// The version this build serves and reads.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every object.
pub const API_VERSION: &str = "coalition.training/v1alpha1";

/// Label of a site with its own name, so that a selector can mean one site.
pub const SITE_LABEL: &str = "coalition.training/site";

/// Label of every object that belongs to a run, with the run's identity as its first record minted it.
pub const RUN_LABEL: &str = "coalition.training/run";
/// Label of a worker's pod with the worker's index in its gang, from 0.
pub const INDEX_LABEL: &str = "coalition.training/index";
/// Label of a worker's pod: how often this worker's pod was made anew.
pub const BIRTH_LABEL: &str = "coalition.training/birth";

/// Annotation on a TrainingRun, the emergency stop of its users: save, stop, and stay so until it is taken away. Its value says
/// why. An annotation, because GitOps tools leave those alone that they did not write.
pub const STOP_ANNOTATION: &str = "coalition.training/stop";
/// Annotation on a Gang, the stop of a site's owner: save and stop here, whatever the hub asks, until it is taken away. Its
/// value says why.
pub const OWNER_STOP_ANNOTATION: &str = "coalition.training/owner-stop";
/// Annotation on a Gang: start no worker anew until it is taken away, so that somebody can look at what failed. Its value says
/// why.
pub const HOLD_ANNOTATION: &str = "coalition.training/hold";

/// The namespace at the hub of what concerns one site.
pub fn site_namespace(site: &str) -> String {
    format!("site-{site}")
}

/// Names of the first pretended sites on one machine; later ones are `site-9`, `site-10`, and so on.
const SITES: [&str; 8] = ["north", "south", "east", "west", "northeast", "southwest", "northwest", "southeast"];

/// The name of the pretended site with this index, from 0.
pub fn pretended_site(index: usize) -> String {
    SITES.get(index).map_or_else(|| format!("site-{}", index + 1), |s| (*s).to_owned())
}

/// The names of so many pretended sites.
pub fn pretended_sites(count: usize) -> Vec<String> {
    (0..count).map(pretended_site).collect()
}

/// A name of at most 63 lowercase letters, digits and '-': what Kubernetes calls a DNS label.
pub const LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A BLAKE3 digest in lowercase hexadecimal.
pub const DIGEST_PATTERN: &str = "^[0-9a-f]{64}$";
