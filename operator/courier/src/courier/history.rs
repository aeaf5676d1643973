//! The history as this site sees it: checked, mirrored, compared with what is mirrored already (D7). Must not know what the
//! records ask of the store.
use coalition_protocol::Seq;
use coalition_protocol::history::View;
use coalition_protocol::sign::SignedRecord;
use coalition_store::StoreError;

use super::{Courier, Findings, Input};
use crate::{CourierError, stock};

/// Bytes of mirrored records in one report: a report is one object, which a cluster's API takes up to 1.5 MiB of, and most
/// of it is for other things. A record may have 256 KiB, so one fits in any case.
const PAGE_BYTES: u64 = 256 << 10;

impl Courier {
    /// Checks and mirrors new records.
    pub(super) async fn follow(&mut self, records: &[SignedRecord]) -> Result<(), CourierError> {
        let known = self.view.as_ref().map(|v| v.last_commit().0);
        for r in records {
            if !extend(&mut self.view, r)? {
                return Ok(());
            }
            self.unmirrored.push_back(r.clone());
        }
        if self.view.as_ref().map(|v| v.last_commit().0) != known {
            self.locked(|w| w.stock.absent.clear());
        }
        // One that cannot be written now is written before all later ones: the mirror has no holes.
        while let Some(r) = self.unmirrored.front() {
            stock::mirror(&self.own, r).await?;
            self.mirrored = Some(r.record.seq);
            self.unmirrored.pop_front();
        }
        Ok(())
    }

    /// Compares the mirror with what the hub shows, once for each leader, and on until they are equal: a page of what is
    /// mirrored and not shown. The hub checks it, as it would another's.
    pub(super) async fn compare(&mut self, nonce: &str) -> Result<Vec<SignedRecord>, CourierError> {
        let Some(view) = self.view.as_ref().filter(|_| self.compared.as_deref() != Some(nonce)) else {
            return Ok(Vec::new());
        };
        let page = self.not_shown(view).await?;
        if page.is_empty() {
            self.compared = Some(nonce.to_owned());
        }
        Ok(page)
    }

    /// The opening entry that the hub remembers is not in the store. Then the store is empty or an older copy, and lost, or
    /// it is a newer one than the hub: it mirrors records that the hub does not show, of a time when the site had another
    /// incarnation already. To call that lost would have the hub write other records under the same numbers.
    pub(super) async fn lost(&mut self, input: &Input, why: &StoreError, found: &mut Findings) {
        let run = &input.site_run;
        // Compared before under this leader, the mirror had nothing more: then it is the store that lost something.
        let certain = self.lost || self.compared.as_ref() == Some(&run.nonce);
        let ahead = if certain { Ok(Some(Vec::new())) } else { self.ahead_of(&input.records).await };
        found.opened = input.opened;
        match ahead {
            // Until history and mirror were seen nobody knows which of the two it is, and the leader gets no answer: without
            // one no trainer works here.
            Ok(None) => {}
            Ok(Some(records)) if records.is_empty() => {
                found.opened = Some(run.incarnation);
                (found.store_lost, found.compared) = (true, true);
                found.mirrored = None;
                self.begin_anew();
                self.lost = true;
                found.problems.insert("StoreLost".to_owned(), why.to_string());
            }
            Ok(Some(records)) => {
                (found.records, found.compared) = (records, true);
                let text = format!("{why}; but it mirrors records that the hub does not show: the hub was rolled back");
                found.problems.insert("HubRewound".to_owned(), text);
            }
            Err(e) => {
                found.problems.insert("MirrorNotRead".to_owned(), e.to_string());
            }
        }
    }

    /// A page of what is mirrored after all that the hub has shown, without a write into a store that may not be the right
    /// one. None if the hub has shown nothing yet.
    async fn ahead_of(&self, records: &[SignedRecord]) -> Result<Option<Vec<SignedRecord>>, CourierError> {
        let mut view = self.view.clone();
        for r in records {
            extend(&mut view, r)?;
        }
        match view {
            Some(view) => Ok(Some(self.not_shown(&view).await?)),
            None => Ok(None),
        }
    }

    async fn not_shown(&self, view: &View) -> Result<Vec<SignedRecord>, CourierError> {
        let (mut page, mut room, mut seq) = (Vec::new(), PAGE_BYTES, view.head().seq.next());
        while let Some((record, bytes)) = stock::mirrored(&self.own, view.run(), seq).await? {
            if bytes > room {
                break;
            }
            room -= bytes;
            seq = seq.next();
            page.push(record);
        }
        if page.is_empty() {
            stock::ends(&self.own, view.run(), seq).await?;
        }
        Ok(page)
    }
}

/// Adds a record that may be known already; false if it was chosen for a head that was forgotten since: the next pass begins
/// at the first record.
fn extend(view: &mut Option<View>, r: &SignedRecord) -> Result<bool, CourierError> {
    let seq = r.record.seq;
    let bad = |what: String| CourierError::Damaged { key: format!("record {seq}"), what };
    match view {
        None if seq > Seq(0) => return Ok(false),
        None => *view = Some(View::start(r).map_err(|e| bad(e.to_string()))?),
        Some(v) if seq <= v.head().seq => {}
        Some(v) => v.extend(r).map_err(|e| bad(e.to_string()))?,
    }
    Ok(true)
}
