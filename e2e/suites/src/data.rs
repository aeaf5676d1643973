//! The tiny data set of the scenarios: a text made by a rule, prepared and pushed into the site's store by the trainer's own
//! program in a pod, as a user would. Must not know how a data set lies in a store.

use crate::archives::{TRAINER, reference};
use crate::installed::{DATASET, STORE_SECRET, WORKERS};
use coalition_cluster::S3;
use serde_json::{Value, json};

/// Bytes of text: enough for a thousand different samples, and a ConfigMap takes it.
const BYTES: usize = 256 << 10;
/// Documents that the text is cut into: some are held out, and a document is never split.
const DOCUMENTS: usize = 8;
/// The name of the pod and of its ConfigMap.
pub(crate) const NAME: &str = "prepare-data";

/// Words that the text is made of. Their order is all there is to learn.
const WORDS: [&str; 16] = [
    "let", "run", "site", "gang", "fn", "match", "self", "record", "commit", "plan", "worker", "epoch", "lease", "if",
    "return", "loop",
];

/// The text: the same at every call.
fn text() -> String {
    let mut out = String::with_capacity(BYTES + 16);
    let mut state = 1_u64;
    while out.len() < BYTES {
        // Knuth's generator for MMIX: any would do.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.push_str(WORDS[(state >> 60) as usize]);
        out.push(if (state >> 32).is_multiple_of(9) { '\n' } else { ' ' });
    }
    out
}

/// The text in documents, by the name of its file.
fn documents() -> Vec<(String, String)> {
    let text = text();
    let words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
    let parts = words.chunks(words.len().div_ceil(DOCUMENTS));
    parts.enumerate().map(|(n, words)| (format!("text-{n}.txt"), words.concat())).collect()
}

/// Where the data set lies once it is pushed.
pub(crate) fn url(s3: &S3) -> String {
    format!("s3://{}/data/{DATASET}", s3.bucket)
}

/// What an S3 client in a pod reads from its environment.
pub(crate) fn environment(s3: &S3) -> Value {
    let key = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": STORE_SECRET, "key": name}}});
    json!([
        {"name": "AWS_ENDPOINT_URL", "value": s3.endpoint},
        {"name": "AWS_REGION", "value": s3.region},
        {"name": "COALITION_S3_PLAIN_HTTP", "value": "1"},
        key("AWS_ACCESS_KEY_ID"),
        key("AWS_SECRET_ACCESS_KEY"),
    ])
}

/// The ConfigMap with the text and the pod that prepares and pushes it.
pub(crate) fn manifests(s3: &S3) -> Vec<Value> {
    let metadata = json!({"name": NAME, "namespace": WORKERS});
    let container = |name: &str, args: &[&str]| {
        json!({
            "name": name,
            "image": reference(TRAINER),
            "args": args,
            "env": environment(s3),
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "text", "mountPath": "/text"}, {"name": "prepared", "mountPath": "/prepared"}],
        })
    };
    let folder = format!("/prepared/{DATASET}");
    let documents = documents();
    let files: Vec<String> = documents.iter().map(|(name, _)| format!("/text/{name}")).collect();
    let mut prepare = vec!["data", "prepare", "--out", &folder];
    prepare.extend(files.iter().map(String::as_str));
    let data: serde_json::Map<String, Value> =
        documents.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}),
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "initContainers": [container("prepare", &prepare)],
                "containers": [container("push", &["data", "push", &folder, &url(s3)])],
                "volumes": [
                    {"name": "text", "configMap": {"name": NAME}},
                    {"name": "prepared", "emptyDir": {}},
                ],
            },
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_always_the_same_and_not_all_alike() {
        let text = text();
        assert_eq!(text, super::text());
        assert!(text.len() >= BYTES && text.len() < BYTES + 16, "{}", text.len());
        for word in WORDS {
            assert!(text.contains(word), "{word}");
        }
        let documents = documents();
        assert_eq!(documents.len(), DOCUMENTS);
        assert_eq!(documents.iter().map(|(_, part)| part.as_str()).collect::<String>(), text);
    }
}
