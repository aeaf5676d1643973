//! Brings a prepared data set from a store into a cache: several files at a time, each compared with its digest before it
//! counts. A file that was whole when a process was killed is not fetched again. Must not know how it is used.
use std::fs::{self, File};
use std::io::{BufWriter, IntoInnerError, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coalition_data::Index;
use coalition_data::index::{self, DataFile};
use coalition_protocol::{Digest, exit};
use coalition_store::{Store, StoreError};
use serde::Serialize;
use tokio::task::JoinSet;

use super::cache::Place;
use super::failure;
use crate::alive::turned;
use crate::events::{boot_millis, emit};
use crate::failure::Failure;

/// Files at a time: enough to fill a fast line whose single connections are slow.
const PARALLEL: usize = 4;
/// Between lines about progress.
const TELL: Duration = Duration::from_secs(5);
/// A store that gave nothing for so long is not waited for in this process any more; the next one goes on.
const AWAY: Duration = Duration::from_mins(15);
/// First and longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Read and hashed at a time.
const BUFFER: usize = 1 << 20;

#[derive(Serialize)]
struct Told<'a> {
    from: &'a str,
    bytes: u64,
    of: u64,
    millis: u64,
}

/// One file to bring.
struct Wanted {
    name: String,
    bytes: Option<u64>,
    most: u64,
    blake3: Digest,
}

/// What several tasks count.
#[derive(Default)]
struct Count {
    bytes: AtomicU64,
    /// When something last arrived.
    moved: AtomicU64,
}

impl Count {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.moved.store(boot_millis(), Ordering::Relaxed);
        turned();
    }
}

/// Fetches what `store` holds to `place`; `url` names it in messages.
pub fn fetch(store: &Store, url: &str, place: &Place) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(PARALLEL).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::bug(format!("the data set cannot be fetched: {e}")))?;
    runtime.block_on(bring(store, url, place))
}

async fn bring(store: &Store, url: &str, place: &Place) -> Result<(), Failure> {
    let count = Arc::new(Count::default());
    count.add(0);
    let mut patience = Patience::new(&count);
    let bytes = loop {
        match store.get(index::FILE, index::LARGEST_FILE).await {
            Ok(bytes) => break bytes,
            Err(StoreError::NotFound { .. }) => {
                let push = format!("`coalition-trainer data push FOLDER {url}` copies one there");
                return Err(Failure::new(
                    exit::DATA,
                    format!("{url} holds no data set, or not all of one yet: {push}"),
                ));
            }
            Err(e) => patience.after(e).await?,
        }
    };
    let index = Index::parse(&bytes, &Path::new(url).join(index::FILE))?;
    fs::create_dir_all(&place.partial).map_err(|e| place.bad(&e))?;
    let (mut wanted, mut of) = (Vec::new(), 0);
    for file in index.files() {
        // The index does not say how large a tokenizer is; it is small beside the text.
        of += file.bytes.unwrap_or(0);
        if is_there(&place.partial, &file).map_err(|e| place.bad(&e))? {
            count.add(file.bytes.unwrap_or(0) as usize);
        } else {
            wanted.push(Wanted { name: file.name.to_owned(), bytes: file.bytes, most: file.most, blake3: file.blake3 });
        }
    }
    place.room(of - count.bytes.load(Ordering::Relaxed))?;
    let start = Instant::now();
    let told = |count: &Count| Told {
        from: url,
        bytes: count.bytes.load(Ordering::Relaxed),
        of,
        millis: start.elapsed().as_millis() as u64,
    };
    emit("fetching", told(&count));
    let (mut tasks, mut tick) = (JoinSet::new(), tokio::time::interval_at((start + TELL).into(), TELL));
    let mut waiting = wanted.into_iter();
    loop {
        while tasks.len() < PARALLEL
            && let Some(file) = waiting.next()
        {
            tasks.spawn(one(store.clone(), place.partial.clone(), file, count.clone()));
        }
        tokio::select! {
            done = tasks.join_next() => match done {
                None => break,
                Some(Ok(done)) => done?,
                Some(Err(e)) => return Err(Failure::bug(format!("fetching the data set: {e}"))),
            },
            _ = tick.tick() => emit("fetching", told(&count)),
        }
    }
    write(&place.partial, index::FILE, &bytes).map_err(|e| place.bad(&e))?;
    place.appear()?;
    emit("fetched", told(&count));
    Ok(())
}

/// True if a killed process left this file whole; a wrong one is removed.
fn is_there(folder: &Path, file: &DataFile<'_>) -> std::io::Result<bool> {
    let path = folder.join(file.name);
    let mut from = match File::open(&path) {
        Ok(f) => f,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; BUFFER]);
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        turned();
    }
    let whole = Digest::from(hasher.finalize()) == file.blake3;
    if !whole {
        fs::remove_file(&path)?;
    }
    Ok(whole)
}

/// Fetches one file: under a name that counts for nothing, and under its own once its digest is right.
async fn one(store: Store, folder: PathBuf, file: Wanted, count: Arc<Count>) -> Result<(), Failure> {
    let half = folder.join(format!(".{}.part", file.name));
    let disk = |e: std::io::Error| {
        Failure::new(exit::TRY_AGAIN, format!("cannot write {}: {e}; check that there is room", half.display()))
    };
    let mut patience = Patience::new(&count);
    let (bytes, digest) = loop {
        match once(&store, &half, &file, &count).await {
            Ok(read) => break read,
            Err(Broken::Disk(e)) => return Err(disk(e)),
            Err(Broken::Store(e)) => patience.after(e).await?,
        }
    };
    if digest != file.blake3 || file.bytes.is_some_and(|b| b != bytes) {
        let _ = fs::remove_file(&half);
        let (key, expected) = (&file.name, file.blake3);
        return Err(Failure::new(
            exit::DATA,
            format!(
                "{key} in {store} is damaged: expected BLAKE3 {expected}, got {digest} ({bytes} bytes); remove the data set there and \
                 push it again"
            ),
        ));
    }
    fs::rename(&half, folder.join(&file.name)).map_err(disk)
}

/// One try. One that was cut off counts for nothing.
async fn once(store: &Store, half: &Path, file: &Wanted, count: &Count) -> Result<(u64, Digest), Broken> {
    let mut to = BufWriter::with_capacity(BUFFER, File::create(half)?);
    let mut counted = 0;
    let read = store.read_parts::<Broken>(&file.name, file.most, |part| {
        to.write_all(part)?;
        count.add(part.len());
        counted += part.len() as u64;
        Ok(())
    });
    let read = read.await;
    if read.is_err() {
        count.bytes.fetch_sub(counted, Ordering::Relaxed);
    }
    to.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
    read
}

/// Why a file was not read to its end.
enum Broken {
    Store(StoreError),
    Disk(std::io::Error),
}

impl From<StoreError> for Broken {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}
impl From<std::io::Error> for Broken {
    fn from(e: std::io::Error) -> Self {
        Self::Disk(e)
    }
}

/// Tries again as long as anything arrives at all. To wait for a store is no sign of a hang.
struct Patience<'a> {
    count: &'a Count,
    pause: Duration,
}

impl<'a> Patience<'a> {
    const fn new(count: &'a Count) -> Self {
        Self { count, pause: PAUSE.0 }
    }

    /// Waits before another try, if one may help.
    async fn after(&mut self, e: StoreError) -> Result<(), Failure> {
        let away = boot_millis().saturating_sub(self.count.moved.load(Ordering::Relaxed));
        if !e.is_transient() || u128::from(away) >= AWAY.as_millis() {
            return Err(failure(&e));
        }
        tracing::warn!("{e}");
        turned();
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(folder.join(name))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
