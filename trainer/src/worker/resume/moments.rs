//! A site's own Adam moments after its place was lost (D23). Must not know where the site goes on from.
//!
//! They are read from its newest site checkpoint that is whole, of the running incarnation or of an earlier one of the same
//! epoch. What makes that legal:
//! * D8 shuts a retired incarnation out of *writing*: it offers nothing, holds nothing, and its leases are gone. Its
//!   entries are create-only and stay what they were, so reading them makes nothing of it current again. This writes
//!   nothing to its log, not even a fence: that would be a write under a stale fence.
//! * D19 says which entries exist: only what no earlier fence of a higher attempt shuts out is read. A process of the
//!   retired incarnation that still runs may append there; a later reader may then find newer moments. No other site ever
//!   sees moments, and no record speaks of them.
//! * D22 resumes exactly only within one incarnation. So nothing but m, v, the Adam count and what is left of a warm-up is
//!   taken: not x, not late work, whose ranges went back with the retirement (D18, D24), and r = 0.
//! * After a rewind (D27) the epoch is another one, and moments of the abandoned span are not looked for.
//!
//! Moments of a donor, which D23 puts before zero ones, are not part of this version.
use coalition_protocol::{Incarnation, Round};
use coalition_store::log::{CommitLog, LogName, SiteEntry};
use coalition_store::site_checkpoint::KEEP;

use super::{Attempted, Place, passed_by, read_cursor, vector};
use crate::failure::Stop;
use crate::worker::cursor::Cursor;

/// Moments with the cursor they were saved with.
pub struct Own {
    pub cursor: Cursor,
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    pub adam_count: u64,
}

/// The site's own moments, if its newest whole site checkpoint was trained at most
/// [`FRESH_ROUNDS`](crate::worker::cursor::FRESH_ROUNDS) before `round`. `unreached` are entries of `log` that are whole
/// but for the outer state they stand on.
pub fn own(place: &Place<'_>, log: &CommitLog, unreached: &[SiteEntry], round: Round) -> Result<Option<Own>, Stop> {
    let (mut log, mut entries) = (log.clone(), unreached.to_vec());
    let mut earlier = (1..place.fence.incarnation.0).rev().map(Incarnation);
    loop {
        // The first that is whole decides; those before it are older still.
        for entry in &entries {
            match read(place, &log, entry, round) {
                Ok(found) => return Ok(found),
                Err(Attempted::Damaged(message)) => passed_by(entry, &message),
                Err(Attempted::Stop(s)) => return Err(s),
            }
        }
        let Some(incarnation) = earlier.next() else { return Ok(None) };
        log = CommitLog::new(place.store.store(), LogName { incarnation, ..place.name.clone() });
        entries = match place.store.wait(log.recent(KEEP)).map_err(Attempted::from) {
            Ok(entries) => entries,
            Err(Attempted::Damaged(message)) => {
                tracing::warn!("the log of incarnation {incarnation} is passed by: {message}");
                Vec::new()
            }
            Err(Attempted::Stop(s)) => return Err(s),
        };
    }
}

fn read(place: &Place<'_>, log: &CommitLog, entry: &SiteEntry, round: Round) -> Result<Option<Own>, Attempted> {
    // The manifest first: what is too old is not worth reading.
    let manifest = place.store.wait(log.manifest(entry))?;
    let (cursor, adam_count) = read_cursor(&manifest.cursor).map_err(Attempted::Damaged)?;
    if cursor.stale_at(round) {
        tracing::info!("own moments are of round {}, too old at round {round}", cursor.trained_round);
        return Ok(None);
    }
    let loaded = place.store.wait(log.load(entry))?;
    let m = vector(place.layout, &loaded.groups, "m").map_err(Attempted::Damaged)?;
    let v = vector(place.layout, &loaded.groups, "v").map_err(Attempted::Damaged)?;
    Ok(Some(Own { cursor, m, v, adam_count }))
}
