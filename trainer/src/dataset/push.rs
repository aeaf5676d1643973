//! `data push`: copies a prepared data set into a store, create-only, its index last. Must not know who fetches it.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coalition_data::index;
use coalition_data::progress::Stage;
use coalition_data::{Bar, Dataset, Progress, Verify};
use coalition_protocol::{Digest, exit};
use coalition_store::{Location, Store, StoreError};
use tokio::task::JoinSet;

use super::failure;
use crate::failure::Failure;
use crate::out::say;

/// Files at a time. Each lies in memory whole while it is sent, and usually has 256 MiB.
const PARALLEL: usize = 2;

/// Copies the data set in `folder` to `to`.
pub fn push(folder: &Path, to: &str) -> Result<u8, Failure> {
    let location: Location = to.parse().map_err(|e| failure(&e))?;
    let dataset = Dataset::open(folder, Verify::Sizes)?;
    let store = Store::open(&location).map_err(|e| failure(&e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(PARALLEL).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::bug(format!("the data set cannot be copied: {e}")))?;
    let bar = Arc::new(Bar::new());
    let done = runtime.block_on(copy(&dataset, &store, to, &bar));
    bar.end();
    let what = if done? { "data set is there" } else { "data set was there" };
    say!("{what:<18}  {to}");
    say!("digest              {}", dataset.index().digest);
    say!("bytes               {}", size(&dataset));
    Ok(0)
}

fn size(dataset: &Dataset) -> u64 {
    dataset.index().files().iter().filter_map(|f| f.bytes).sum()
}

/// True if something was copied.
async fn copy(dataset: &Dataset, store: &Store, to: &str, bar: &Arc<Bar>) -> Result<bool, Failure> {
    let path = dataset.folder().join(index::FILE);
    let own = std::fs::read(&path).map_err(|e| unreadable(&path, &e))?;
    match store.get(index::FILE, index::LARGEST_FILE).await {
        Ok(there) if there == own => return Ok(false),
        Ok(_) => {
            let what = format!("{to} holds another data set, and nothing is ever overwritten: name another place");
            return Err(Failure::new(exit::CONFIG, what));
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(e) => return Err(failure(&e)),
    }
    bar.begin(Stage::Push, size(dataset));
    let mut tasks = JoinSet::new();
    let mut files = dataset.index().files().into_iter();
    loop {
        while tasks.len() < PARALLEL
            && let Some(file) = files.next()
        {
            let (store, path, name) = (store.clone(), dataset.folder().join(file.name), file.name.to_owned());
            tasks.spawn(one(store, path, name, file.blake3, bar.clone()));
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok(done)) => done?,
            Some(Err(e)) => return Err(Failure::bug(format!("copying the data set: {e}"))),
        }
    }
    // Only now there is a data set.
    store.put_new_or_same(index::FILE, own).await.map_err(|e| failure(&e))?;
    Ok(true)
}

/// Copies one file, or finds it there from a push that was cut off.
async fn one(store: Store, path: PathBuf, name: String, expected: Digest, bar: Arc<Bar>) -> Result<(), Failure> {
    let bytes = tokio::fs::read(&path).await.map_err(|e| unreadable(&path, &e))?;
    let found = Digest::of(&bytes);
    if found != expected {
        let folder = path.parent().unwrap_or(&path).display();
        return Err(Failure::new(
            exit::DATA,
            format!(
                "{} is damaged: expected BLAKE3 {expected}, found {found}; restore it from a copy or prepare the data set again, then \
                 `coalition-trainer data verify {folder}` checks every file",
                path.display()
            ),
        ));
    }
    let size = bytes.len() as u64;
    match store.put_new(&name, bytes).await {
        Ok(()) => {}
        Err(taken @ StoreError::AlreadyExists { .. }) => {
            let there = store.read_parts::<StoreError>(&name, size, |_| Ok(())).await;
            let same = match there {
                Ok((_, digest)) => digest == expected,
                Err(StoreError::TooLarge { .. }) => false,
                Err(e) => return Err(failure(&e)),
            };
            if !same {
                let what =
                    format!("{taken}: it belongs to another data set that was never finished; name another place");
                return Err(Failure::new(exit::CONFIG, what));
            }
        }
        Err(e) => return Err(failure(&e)),
    }
    bar.advance(size);
    Ok(())
}

fn unreadable(path: &Path, e: &std::io::Error) -> Failure {
    Failure::new(exit::DATA, format!("cannot read {}: {e}; check that this user may read it", path.display()))
}
