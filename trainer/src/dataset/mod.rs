//! A worker's data set: a folder, or a prepared one in a bucket, brought into a cache before the first step and found there by
//! the next process. Must not know what the data is for.
mod cache;
mod fetch;
mod push;

use std::path::PathBuf;

use coalition_data::{Dataset, Verify};
use coalition_protocol::exit;
use coalition_store::{Location, Store, StoreError};

use crate::config::WorkerConfig;
use crate::failure::Failure;
use cache::Place;
pub use push::push;

/// The folder of the data set, which is there and whole when this returns, however long that takes.
pub fn folder(config: &WorkerConfig) -> Result<PathBuf, Failure> {
    let (Some(url), Some(cache)) = (config.bucket(), &config.data_cache) else {
        return Ok(PathBuf::from(&config.data));
    };
    let location: Location = url.parse().map_err(|e| failure(&e))?;
    let place = Place::new(cache, url);
    // Several workers of one machine may share a cache: one fetches, the others find.
    let _lock = place.lock()?;
    if place.folder.exists() {
        match Dataset::open(&place.folder, Verify::Sizes) {
            Ok(_) => return Ok(place.folder),
            Err(e) => {
                tracing::warn!("the cached data set is not whole and is fetched again: {e}");
                place.forget()?;
            }
        }
    }
    let store = Store::open(&location).map_err(|e| failure(&e))?;
    fetch::fetch(&store, url, &place)?;
    Ok(place.folder)
}

/// An error of a store that holds data: what is wrong there is wrong data, not a damaged checkpoint.
fn failure(e: &StoreError) -> Failure {
    let code = match e {
        StoreError::Damaged { .. } | StoreError::TooLarge { .. } | StoreError::BadKey { .. } => exit::DATA,
        _ => e.exit_code(),
    };
    Failure::new(code, e.to_string())
}
