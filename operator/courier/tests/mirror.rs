//! What a courier mirrors of the history, and what it makes of a mirror that says more or less than the hub.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use coalition_protocol::messages::SiteRun;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Incarnation, Seq, keys};
use coalition_store::{Location, Store};
use common::{Chain, Member};

impl Chain {
    /// The same numbers, another content.
    fn state_of_another_plan(&mut self) {
        self.append(coalition_protocol::record::Body::Members(coalition_protocol::record::Members {
            set_aside: vec![coalition_protocol::record::Removal {
                site: common::site("east"),
                incarnation: Incarnation(1),
                reason: "PeersUnreachable".to_owned(),
            }],
            ..Default::default()
        }));
    }
}

/// A chain of some rounds that south has mirrored whole as the site's incarnation `of`, and what the hub asks of it.
async fn mirrored(rounds: usize, of: Incarnation) -> (Chain, Member, SiteRun) {
    let mut chain = Chain::new();
    for _ in 0..rounds {
        chain.plan();
        chain.commit(&["north", "south"]);
    }
    let mut south = Member::new("south").await;
    let mut run = south.asked(&chain, &[], &[], &[]);
    run.incarnation = of;
    let found = south.until(&chain, run.clone(), None, |f| f.mirrored == Some(chain.view.head().seq)).await;
    assert!(found.records.is_empty() && found.compared, "the hub shows all there is: {found:?}");
    (chain, south, run)
}

/// Leaves the hub its first four records, as a restored copy would; gives all of them.
fn rewind(chain: &mut Chain) -> Vec<SignedRecord> {
    let all = chain.records.clone();
    chain.records.truncate(4);
    all
}

#[tokio::test]
async fn a_forked_history_is_not_mirrored() {
    let mut chain = Chain::new();
    let mut other = Chain::new();
    chain.plan();
    other.state_of_another_plan();
    let mut south = Member::new("south").await;
    let run = south.asked(&chain, &[], &[], &[]);
    south.until(&chain, run, None, |f| f.mirrored == Some(chain.view.head().seq)).await;
    // A rebuilt hub shows other records under the same numbers.
    let mut south = south.restarted();
    let run = south.asked(&other, &[], &[], &[]);
    let found = south.until(&other, run, Some(Incarnation(1)), |_| true).await;
    assert!(found.problems["HistoryNotMirrored"].contains("rolled back or forked"), "{:?}", found.problems);
}

#[tokio::test]
async fn records_that_the_hub_lost_are_paged_out_of_the_mirror() {
    let (mut chain, south, run) = mirrored(3, Incarnation(1)).await;
    let mut south = south.restarted();
    let all = rewind(&mut chain);
    let found = south.until(&chain, run.clone(), Some(Incarnation(1)), |_| true).await;
    assert_eq!(found.records, all[4..]);
    chain.records = all;
    let found = south.until(&chain, run, Some(Incarnation(1)), |_| true).await;
    assert!(found.records.is_empty() && found.problems.is_empty(), "{found:?}");
}

/// The hub was restored from a copy of a time when this site had its first incarnation, whose store was lost since. The
/// store of the second lacks the first's opening entry, and yet it is the hub that lost something.
#[tokio::test]
async fn a_store_newer_than_the_hub_is_not_called_lost() {
    let (mut chain, south, mut run) = mirrored(2, Incarnation(2)).await;
    let mut south = south.restarted();
    let all = rewind(&mut chain);
    run.incarnation = Incarnation(1);
    let found = south.until(&chain, run.clone(), Some(Incarnation(1)), |_| true).await;
    assert_eq!((found.store_lost, found.opened, &found.records[..]), (false, Some(Incarnation(1)), &all[4..]));
    assert!(found.problems["HubRewound"].contains("rolled back"), "{:?}", found.problems);
    // With its records back, the hub knows the second incarnation again.
    chain.records = all;
    run.incarnation = Incarnation(2);
    let found = south.until(&chain, run, Some(Incarnation(1)), |f| f.mirrored.is_some()).await;
    assert_eq!((found.store_lost, found.opened), (false, Some(Incarnation(2))));
    assert!(found.records.is_empty() && found.problems.is_empty(), "{found:?}");
}

/// Its own store cannot take one record for a while: later ones wait for it.
#[tokio::test]
async fn a_record_that_cannot_be_written_leaves_no_hole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&Location::Folder(folder.path().to_owned())).expect("a folder");
    let mut chain = Chain::new();
    chain.plan();
    chain.commit(&["north", "south"]);
    let mut south = Member::over("south", store).await;
    let third = folder.path().join(keys::record(chain.view.run(), Seq(3)));
    std::fs::create_dir_all(third.join("in the way")).expect("a folder");
    let run = south.asked(&chain, &[], &[], &[]);
    let found = south.until(&chain, run.clone(), None, |f| f.mirrored.is_some()).await;
    assert_eq!(found.mirrored, Some(Seq(2)), "what lies before it is mirrored");
    assert!(found.problems.contains_key("HistoryNotMirrored"), "{:?}", found.problems);
    std::fs::remove_dir_all(&third).expect("removed");
    chain.plan();
    let head = chain.view.head().seq;
    let found = south.until(&chain, run, Some(Incarnation(1)), |_| true).await;
    assert_eq!(found.mirrored, Some(head));
    for n in 0..=head.0 {
        assert!(south.store.exists(&keys::record(chain.view.run(), Seq(n))).await.expect("readable"), "record {n}");
    }
}

/// What a site cannot compare it does not answer, and what it cannot tell from a rolled-back hub it does not call lost.
#[tokio::test]
async fn without_a_look_at_the_mirror_there_is_no_answer() {
    let (chain, south, mut run) = mirrored(1, Incarnation(1)).await;
    let beyond = keys::record(chain.view.run(), chain.view.head().seq.next());
    south.store.put_new(&beyond, "{\"half").await.expect("stored");
    let mut south = south.restarted();
    let found = south.until(&chain, run.clone(), Some(Incarnation(1)), |_| true).await;
    assert!(!found.compared && found.problems.contains_key("MirrorNotRead"), "{found:?}");
    south.store.delete(&keys::opening(chain.view.run(), Incarnation(1))).await.expect("removed");
    let mut south = south.restarted();
    let found = south.until(&chain, run.clone(), Some(Incarnation(1)), |_| true).await;
    assert!(!found.compared && !found.store_lost, "{found:?}");
    // Compared under this leader, there is no doubt any more: the entry went since.
    south.store.delete(&beyond).await.expect("removed");
    let mut south = Member::over("south", south.store.clone()).await;
    run.incarnation = Incarnation(2);
    south.until(&chain, run.clone(), None, |f| f.compared).await;
    south.store.put_new(&beyond, "{\"half").await.expect("stored");
    south.store.delete(&keys::opening(chain.view.run(), Incarnation(2))).await.expect("removed");
    let found = south.until(&chain, run, Some(Incarnation(2)), |_| true).await;
    assert!(found.store_lost && found.compared, "{found:?}");
}

#[tokio::test]
async fn a_mirror_with_a_hole_is_told_by_the_name_of_the_missing_record() {
    let (mut chain, south, run) = mirrored(3, Incarnation(1)).await;
    south.store.delete(&keys::record(chain.view.run(), Seq(5))).await.expect("removed");
    let mut south = south.restarted();
    let all = rewind(&mut chain);
    let found = south.until(&chain, run.clone(), Some(Incarnation(1)), |_| true).await;
    assert_eq!(found.records, all[4..5], "what lies before the hole is shown");
    chain.records = all[..5].to_vec();
    let found = south.until(&chain, run, Some(Incarnation(1)), |_| true).await;
    assert!(found.records.is_empty());
    let said = &found.problems["MirrorNotRead"];
    assert!(said.contains("holds no runs/run/history/00000005.json") && said.contains("00000006.json"), "{said}");
}
