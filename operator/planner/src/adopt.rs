//! A history that was rolled back (D7): what is missing here comes back from a site's mirror, page by page; what nobody can
//! prove stops the run, or sets aside who claims it. A record proves itself by its link and the hub's own signature, whoever
//! brings it. Must not know how pages travel or where records are kept.
use coalition_protocol::SiteId;
use coalition_protocol::history::View;
use coalition_protocol::sign::SignedRecord;

use crate::checkpoints::STAY;
use crate::decision::Event;
use crate::standing::Standing;

/// What of a page continues this history, and what is wrong with the first record that does not.
fn check(view: &View, page: &[SignedRecord]) -> (Vec<SignedRecord>, Option<String>) {
    let mut next = view.clone();
    let mut good = Vec::new();
    for r in page {
        let seq = r.record.seq;
        if seq <= view.head().seq {
            // A page may be older than what others brought meanwhile.
            if seq >= view.first() && r.record.digest().ok() != view.digest_of(seq) {
                return (good, Some(format!("its record {seq} is another than this history has")));
            }
            continue;
        }
        match next.extend(r) {
            Ok(()) => good.push(r.clone()),
            Err(e) => return (good, Some(e.to_string())),
        }
    }
    (good, None)
}

fn page<'a>(s: &Standing<'a>, site: &SiteId) -> &'a [SignedRecord] {
    s.report(site).map_or(&[], |r| &r.records)
}

/// The records to append as they are: the longest valid continuation that a member has a mirror of, with that member.
pub fn records(s: &Standing<'_>) -> Option<(SiteId, Vec<SignedRecord>)> {
    let mut best: Option<(SiteId, Vec<SignedRecord>)> = None;
    for (site, _) in s.members() {
        let page = page(s, site);
        if page.len() > best.as_ref().map_or(0, |(_, b)| b.len()) {
            let (good, _) = check(s.view, page);
            if good.len() > best.as_ref().map_or(0, |(_, b)| b.len()) {
                best = Some((site.clone(), good));
            }
        }
    }
    best
}

/// What is told of an adoption.
pub fn event(site: &SiteId, records: &[SignedRecord]) -> Option<Event> {
    let (first, last) = (records.first()?.record.seq, records.last()?.record.seq);
    Some(Event {
        reason: "RecordsRestored".to_owned(),
        site: Some(site.clone()),
        message: format!(
            "records {first} to {last} were missing from the hub's history: it was rolled back. They came back from the \
             mirror of {site}; keep what the hub writes on storage that does not forget"
        ),
        warning: true,
    })
}

/// Why the page of `site` does not follow from this history, if it does not.
pub fn unproved(s: &Standing<'_>, site: &SiteId) -> Option<String> {
    let page = page(s, site);
    if page.is_empty() { None } else { check(s.view, page).1 }
}

/// Why nothing may be appended: there are records after the head of which nobody has brought proof. To append here would
/// fork the history.
pub fn rewound(s: &Standing<'_>) -> Option<String> {
    let head = s.view.head();
    let beyond =
        |x: &SiteId| s.report(x).and_then(|r| r.head).is_some_and(|h| h.seq > head.seq || h.epoch > head.epoch);
    let who = if let Some(site) = s.members().map(|(x, _)| x).find(|x| beyond(x)) {
        format!("{site} shows records after {}", head.seq)
    } else {
        let noted = s.world.leader.noted.filter(|n| *n > head.seq)?;
        format!("this hub's notes name record {noted}, its history ends with {}", head.seq)
    };
    let claims: Vec<String> = s
        .members()
        .filter_map(|(x, _)| Some(format!("; the mirror of {x} is no proof: {}", unproved(s, x)?)))
        .collect();
    Some(format!(
        "{who}: the history was rolled back, and no site that answers has a mirror of what is missing{}. Nothing is \
         appended; restore the hub's history from a copy, or bring back a site whose store mirrors it. {STAY}",
        claims.concat()
    ))
}
