//! Whether the site's store takes writes and gives them back: one small object, created, read and removed. Must not touch what
//! runs keep there.
use std::time::Duration;

use coalition_crds::budget::shorten;
use coalition_crds::site::StoreState;
use coalition_store::{Store, StoreError};
use tokio::time::timeout;

use crate::random_hex;

/// A store that does not answer for so long is away.
const ANSWERS: Duration = Duration::from_secs(10);
/// Characters of what is wrong: the bound of the report.
const WORDS: usize = 1024;
/// What is written.
const CONTENT: &[u8] = b"probe";

/// The store's state, and what is wrong with it.
pub async fn probe(store: &Store, site: &str) -> (StoreState, String) {
    let Ok(done) = timeout(ANSWERS, attempt(store, site)).await else {
        return (StoreState::Away, format!("{store} did not answer for {} s", ANSWERS.as_secs()));
    };
    match done {
        Ok(()) => (StoreState::Usable, String::new()),
        Err(e) => {
            let state = match &e {
                StoreError::Full { .. } => StoreState::Full,
                StoreError::ReadOnly { .. } | StoreError::Denied { .. } => StoreState::ReadOnly,
                _ => StoreState::Away,
            };
            (state, shorten(&e.to_string(), WORDS))
        }
    }
}

async fn attempt(store: &Store, site: &str) -> Result<(), StoreError> {
    let unique = random_hex().unwrap_or_else(|_| "again".to_owned());
    let key = format!("probe/{site}/{}", unique.get(..16).unwrap_or(&unique));
    store.put_new(&key, CONTENT).await?;
    let read = store.get(&key, CONTENT.len() as u64).await;
    store.delete(&key).await?;
    let read = read?;
    if read != CONTENT {
        let (store, expected, got) = (store.name().to_owned(), "what was written".to_owned(), "other bytes".to_owned());
        return Err(StoreError::Damaged { store, key, expected, got });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use coalition_store::Location;

    use super::*;

    #[tokio::test]
    async fn a_store_that_works_is_usable_and_keeps_nothing_of_it() {
        let store = Store::open(&Location::Memory).unwrap();
        assert_eq!(probe(&store, "north").await, (StoreState::Usable, String::new()));
        assert!(store.list("probe").await.unwrap().is_empty());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().join("s"))).unwrap();
        std::fs::write(folder.path().join("s/probe"), "in the way").unwrap();
        let (state, message) = probe(&store, "north").await;
        assert!(state != StoreState::Usable && !message.is_empty(), "{state:?} {message}");
    }
}
