//! Names that people and programs see: the group, its version, labels, and the pretended sites of one machine.

/// The API group.
pub const GROUP: &str = "coalition.training";
/// The version this build serves and reads.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every object.
pub const API_VERSION: &str = "coalition.training/v1alpha1";

/// Label of a site with its own name, so that a selector can mean one site.
pub const SITE_LABEL: &str = "coalition.training/site";

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
