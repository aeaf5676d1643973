//! Names of the objects that belong to a gang, each a DNS label. Pure.
use coalition_protocol::Digest;

/// The longest DNS label.
const LABEL: usize = 63;
/// Characters of a digest where a name has to be cut: 40 bits, so two that begin alike never meet by chance.
const UNIQUE: usize = 10;
/// Characters of a content's digest in the name of an object that never changes.
const CONTENT: usize = 12;

/// Port of the gateway.
pub const GATEWAY_PORT: u16 = 8470;
/// Service of the gateway.
pub const GATEWAY_SERVICE: &str = "coalition-gateway";
/// Port of the exchange.
pub const EXCHANGE_PORT: u16 = 8471;
/// Audience of the tokens that workers show the gateway.
pub const AUDIENCE: &str = "coalition-gateway";

/// `base-suffix`; of a base that is too long its beginning and a digest of the whole.
fn fit(base: &str, suffix: &str) -> String {
    let room = LABEL - suffix.len() - 1;
    if base.len() <= room {
        return format!("{base}-{suffix}");
    }
    let digest = Digest::of(base.as_bytes()).to_string();
    let unique = digest.get(..UNIQUE).unwrap_or_default();
    let head = base.get(..room - UNIQUE - 1).unwrap_or_default().trim_end_matches('-');
    format!("{head}-{unique}-{suffix}")
}

/// A worker's pod.
pub fn pod(gang: &str, index: u32, birth: i64) -> String {
    fit(gang, &format!("{index}-{birth}"))
}

/// The Secret with the token of an attempt's collective.
pub fn token(gang: &str, attempt: u64, token: &str) -> String {
    let digest = Digest::of(token.as_bytes()).to_string();
    // Two formations may try for one attempt; each has a token of its own.
    fit(gang, &format!("token-{attempt}-{}", digest.get(..UNIQUE).unwrap_or_default()))
}

/// The ConfigMap with this content.
pub fn config(gang: &str, content: &str) -> String {
    let digest = Digest::of(content.as_bytes()).to_string();
    fit(gang, &format!("worker-{}", digest.get(..CONTENT).unwrap_or_default()))
}

/// Where workers of a gang reach the gateway: `base` and the gang's path there.
pub fn gateway(base: &str, namespace: &str, gang: &str) -> String {
    format!("{base}/gangs/{namespace}/{gang}")
}

/// Where other sites reach a run's objects: `base` and the run's path there.
pub fn exchange(base: &str, run: &str) -> String {
    format!("{base}/runs/{run}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_differ() {
        let long = format!("{}-1234567890", "a".repeat(52));
        let other = format!("{}-1234567891", "a".repeat(52));
        for base in ["rust-code-0123456789", long.as_str(), other.as_str()] {
            for name in [pod(base, 1023, 9_999_999), token(base, u64::MAX >> 11, "t"), config(base, "{}")] {
                assert!(name.len() <= LABEL && !name.contains("--") && !name.ends_with('-'), "{name}");
            }
        }
        assert_ne!(pod(&long, 0, 1), pod(&other, 0, 1));
        assert_eq!(pod("run", 0, 1), "run-0-1");
    }
}
