//! What can go wrong with a cluster, told so that its reader can act, and the exit code of each. Must not know who asks for what.
use coalition_local::exit_code;

/// What to do where our kinds are not served.
const INSTALL: &str = "install them with the chart coalition-crds, or with `kubectl apply --server-side -f crds/yaml`";

/// Why something of a cluster cannot be shown or done.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nothing says where the cluster is.
    #[error(
        "{what}: set KUBECONFIG, or give --kubeconfig FILE and --context NAME; a local run is named by its state folder"
    )]
    NoConfig {
        /// What is missing or unreadable.
        what: String,
    },
    /// It does not answer.
    #[error(
        "the API server of {cluster} does not answer: {what}; `kubectl --context … version` tells whether it is there"
    )]
    Unreachable {
        /// How the cluster is called.
        cluster: String,
        /// What happened.
        what: String,
    },
    /// It has not our kinds.
    #[error("{cluster} does not serve {resource}: {INSTALL}, or name the hub's context with --context")]
    NotServed {
        /// How the cluster is called.
        cluster: String,
        /// The resource with its group.
        resource: String,
    },
    /// It does not let this user.
    #[error("{said}. A Role that allows `{verb}` on `{resource}` {place} lets you")]
    Forbidden {
        /// What the server said: who may not do what.
        said: String,
        /// The verb.
        verb: &'static str,
        /// The resource with its group.
        resource: String,
        /// In which namespace, or in all.
        place: String,
    },
    /// It is not there.
    #[error("there is no {kind} {name} in {place}{near}")]
    NotFound {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// Namespace and cluster.
        place: String,
        /// Names that are near it, as the end of the sentence.
        near: String,
    },
    /// The server refuses a change.
    #[error("the API server refuses to change {object}: {said}")]
    Refused {
        /// Which object.
        object: String,
        /// What the server said.
        said: String,
    },
    /// Any other answer.
    #[error("{verb} {resource} at {cluster}: {said}")]
    Api {
        /// The verb.
        verb: &'static str,
        /// The resource.
        resource: String,
        /// How the cluster is called.
        cluster: String,
        /// What it said.
        said: String,
    },
    /// Arguments that do not fit a cluster's run.
    #[error("{argument}: {what}")]
    Argument {
        /// Which.
        argument: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// A mistake of ours.
    #[error("bug: {0}; please report it")]
    Bug(String),
}

impl ClusterError {
    /// The exit code of a tool that stops with this.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => exit_code::NO_INPUT,
            Self::NoConfig { .. } | Self::Unreachable { .. } | Self::NotServed { .. } | Self::Api { .. } => {
                exit_code::UNAVAILABLE
            }
            Self::Forbidden { .. } => exit_code::NO_PERMISSION,
            Self::Refused { .. } => exit_code::CANNOT_WRITE,
            Self::Argument { .. } => exit_code::USAGE,
            Self::Bug(_) => exit_code::BUG,
        }
    }
}

/// What was asked of an API server.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// How the cluster is called.
    pub cluster: &'a str,
    /// get, list, patch.
    pub verb: &'static str,
    /// The resource with its group.
    pub resource: String,
    /// The kind.
    pub kind: &'static str,
    /// The object; empty for lists.
    pub name: &'a str,
    /// The namespace; none for all.
    pub namespace: Option<&'a str>,
}

impl Asked<'_> {
    /// What the answer means. An object that is not there comes without names near it: whoever can list adds them.
    pub fn failed(&self, error: kube::Error) -> ClusterError {
        let cluster = self.cluster.to_owned();
        match error {
            kube::Error::Api(status) => self.answered(&status),
            kube::Error::Auth(e) => {
                ClusterError::NoConfig { what: format!("the credentials of {cluster} do not work ({e})") }
            }
            // What it says of itself is only that the request failed; why stands below.
            kube::Error::Service(e) => ClusterError::Unreachable { cluster, what: deepest(e.as_ref()) },
            kube::Error::HyperError(e) => ClusterError::Unreachable { cluster, what: deepest(&e) },
            e => ClusterError::Api { verb: self.verb, resource: self.resource.clone(), cluster, said: deepest(&e) },
        }
    }

    fn answered(&self, status: &kube::core::Status) -> ClusterError {
        let (cluster, resource) = (self.cluster.to_owned(), self.resource.clone());
        let said = status.message.trim_end_matches('.').to_owned();
        let writes = self.verb == "patch";
        match status.code {
            401 => ClusterError::NoConfig {
                what: format!("the API server of {cluster} does not know these credentials ({said})"),
            },
            403 => {
                let place =
                    self.namespace.map_or_else(|| "in all namespaces".to_owned(), |n| format!("in namespace {n}"));
                ClusterError::Forbidden { said, verb: self.verb, resource, place }
            }
            // An absent object is named in the answer; for a resource that is not served there is no such answer.
            404 if status.details.as_ref().is_none_or(|d| d.name.is_empty()) => {
                ClusterError::NotServed { cluster, resource }
            }
            404 => ClusterError::NotFound {
                kind: self.kind,
                name: self.name.to_owned(),
                place: place(self.cluster, self.namespace),
                near: String::new(),
            },
            400..=499 if writes => ClusterError::Refused { object: format!("{}/{}", self.kind, self.name), said },
            _ => ClusterError::Api { verb: self.verb, resource, cluster, said },
        }
    }
}

/// Namespace and cluster, as the end of a sentence.
pub fn place(cluster: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(n) => format!("namespace {n} of {cluster}"),
        None => cluster.to_owned(),
    }
}

/// The reason at the bottom: what wraps it says little.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(below) = at.source() {
        at = below;
    }
    at.to_string()
}

/// Names that may have been meant, as the end of a sentence: those that share most with `name` first, not too many.
pub fn near(name: &str, known: &[String]) -> String {
    /// Most names that a message lists.
    const NAMED: usize = 8;
    if known.is_empty() {
        return ": there is none".to_owned();
    }
    let mut sorted: Vec<&String> = known.iter().collect();
    sorted.sort_by_key(|k| (std::cmp::Reverse(alike(name, k)), k.as_str()));
    let more = sorted.len().saturating_sub(NAMED);
    let mut names: Vec<String> = sorted.into_iter().take(NAMED).cloned().collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    format!(": there are {}", names.join(", "))
}

/// Pairs of neighbouring letters that two words share, in thousandths of all (Dice 1945).
fn alike(a: &str, b: &str) -> usize {
    let pairs = |s: &str| s.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut left, right) = (pairs(a), pairs(b));
    let all = (left.len() + right.len()).max(1);
    let shared =
        right.iter().filter(|p| left.iter().position(|x| x == *p).map(|i| left.swap_remove(i)).is_some()).count();
    2000 * shared / all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn asked(verb: &'static str) -> Asked<'static> {
        Asked {
            cluster: "context hub",
            verb,
            resource: "trainingruns.coalition.training".to_owned(),
            kind: "TrainingRun",
            name: "mine",
            namespace: Some("research"),
        }
    }

    fn answer(code: u16, message: &str, name: &str) -> kube::Error {
        let details = serde_json::json!({"name": name, "kind": "trainingruns", "group": "coalition.training"});
        let mut status = kube::core::Status::failure(message, "").with_code(code);
        status.details = (!name.is_empty()).then(|| serde_json::from_value(details).unwrap());
        kube::Error::Api(status.boxed())
    }

    #[test]
    fn every_answer_says_what_happened_and_the_way_out() {
        let told = |verb, code, message, name| asked(verb).failed(answer(code, message, name));
        let forbidden = "trainingruns.coalition.training is forbidden: User \"ann\" cannot list resource";
        for (error, words, code) in [
            (told("list", 403, forbidden, ""), "`list` on `trainingruns.coalition.training` in namespace research", 77),
            (
                told("get", 404, "404 page not found", ""),
                "context hub does not serve trainingruns.coalition.training",
                69,
            ),
            (told("get", 404, "not found", "mine"), "no TrainingRun mine in namespace research of context hub", 66),
            (
                told("patch", 422, "spec is immutable.", "mine"),
                "refuses to change TrainingRun/mine: spec is immutable",
                73,
            ),
            (told("get", 401, "Unauthorized", ""), "does not know these credentials", 69),
            (
                told("list", 500, "etcd is away", ""),
                "list trainingruns.coalition.training at context hub: etcd is away",
                69,
            ),
        ] {
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }

    #[test]
    fn names_near_it_come_first() {
        let known: Vec<String> = ["alpha", "quickstart", "zulu"].map(str::to_owned).to_vec();
        assert_eq!(near("quikstart", &known), ": there are quickstart, alpha, zulu");
        assert_eq!(near("x", &[]), ": there is none");
        let many: Vec<String> = (0..12).map(|n| format!("run-{n:02}")).collect();
        assert!(near("run-11", &many).starts_with(": there are run-11, ") && near("run-11", &many).ends_with("4 more"));
    }
}
