//! What the site's data sets are, from the index of each, whose digest is checked. Must not read what they hold.
use std::time::Duration;

use coalition_crds::site::DataSetFacts;
use coalition_protocol::{Digest, canonical};
use coalition_store::Store;
use serde_json::Value;
use tokio::time::timeout;

use crate::role::location;
use crate::settings::{DataSet, Settings};

/// Name of the index in a data set's folder, and the largest that is read: what the trainer reads too.
const INDEX: (&str, u64) = ("dataset.json", 64 << 20);
/// A store that does not answer for so long is away.
const ANSWERS: Duration = Duration::from_secs(20);

/// The facts of every data set that can be read; of others what was known before.
pub async fn look(settings: &Settings, before: Vec<DataSetFacts>) -> Vec<DataSetFacts> {
    let mut out = Vec::new();
    for set in &settings.data_sets {
        let read = timeout(ANSWERS, read(set, settings)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        match read {
            Ok(facts) => out.push(facts),
            Err(error) => {
                tracing::warn!(name = set.name, url = set.url, error, "a data set cannot be read");
                out.extend(before.iter().find(|b| b.name == set.name).cloned());
            }
        }
    }
    out
}

async fn read(set: &DataSet, settings: &Settings) -> Result<DataSetFacts, String> {
    let place = location(&set.url, settings).map_err(|e| e.to_string())?;
    let store = Store::open(&place).map_err(|e| e.to_string())?;
    let bytes = store.get(INDEX.0, INDEX.1).await.map_err(|e| e.to_string())?;
    facts(&set.name, &bytes)
}

fn facts(name: &str, index: &[u8]) -> Result<DataSetFacts, String> {
    let mut value: Value = serde_json::from_slice(index).map_err(|e| format!("its index is no JSON ({e})"))?;
    let told = value.as_object_mut().and_then(|o| o.remove("digest"));
    let told: Digest = told
        .and_then(|d| d.as_str()?.parse().ok())
        .ok_or_else(|| "its index has no digest: prepare it with this version's trainer".to_owned())?;
    let found = canonical::digest(&value).map_err(|e| e.to_string())?;
    if found != told {
        return Err(format!("its index is damaged: its digest is {}, it says {}", found.short(), told.short()));
    }
    let number = |pointer: &str| {
        value.pointer(pointer).and_then(Value::as_i64).ok_or_else(|| format!("its index does not say {pointer}"))
    };
    Ok(DataSetFacts {
        name: name.to_owned(),
        digest: told.to_string(),
        tokens: number("/train/tokens")?,
        vocabulary: number("/vocabSize")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_is_believed_only_with_its_own_digest() {
        let mut index = json!({"vocabSize": 258, "train": {"tokens": 1000}, "heldOutShare": 0.1});
        let digest = canonical::digest(&index).unwrap();
        index["digest"] = json!(digest);
        let read = |v: &Value| facts("words", &serde_json::to_vec(v).unwrap());
        let good = read(&index).unwrap();
        assert_eq!((good.tokens, good.vocabulary, good.digest), (1000, 258, digest.to_string()));
        index["train"]["tokens"] = json!(2000);
        assert!(read(&index).unwrap_err().contains("damaged"));
    }
}
