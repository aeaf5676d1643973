//! Whose pod a request comes from, given the workers' current pods. Pure. Must not know tokens.
use std::collections::BTreeMap;

/// A worker's current pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentPod {
    /// Its name.
    pub name: String,
    /// Its identity; none until it was seen or made.
    pub uid: Option<String>,
}

/// Whose pod sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// This worker's current one.
    Worker(u32),
    /// No worker's current one.
    Nobody,
    /// A current one, whose identity is not known yet.
    NotSeen,
}

/// Whose current pod has this name and identity.
pub fn sender(current: &BTreeMap<u32, CurrentPod>, pod: &str, uid: &str) -> Sender {
    match current.iter().find(|(_, c)| c.name == pod) {
        Some((_, CurrentPod { uid: None, .. })) => Sender::NotSeen,
        Some((worker, c)) if c.uid.as_deref() == Some(uid) => Sender::Worker(*worker),
        _ => Sender::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_by_its_identity_and_not_by_its_name_alone() {
        let pod = |name: &str, uid: Option<&str>| CurrentPod { name: name.into(), uid: uid.map(str::to_owned) };
        let current = [(0, pod("a-0-2", Some("x"))), (1, pod("a-1-1", None))].into();
        assert_eq!(sender(&current, "a-0-2", "x"), Sender::Worker(0));
        assert_eq!(sender(&current, "a-0-2", "y"), Sender::Nobody, "another pod had the name");
        assert_eq!(sender(&current, "a-0-1", "x"), Sender::Nobody, "an older birth");
        assert_eq!(sender(&current, "a-1-1", "z"), Sender::NotSeen);
    }
}
