//! How long each process may take to leave after SIGTERM. In one place, because each waits for another: whoever gives up first
//! must leave the next one time to say so. Must not know who sends the signal, or what is saved.
//!
//! | who | may take | and then |
//! |---|---|---|
//! | worker | [`SAVE`] to save (a second or two where the store takes it), [`REPORT`] for its last report | leaves by itself with 143, or with the store's error; what was not saved is work since the last site checkpoint |
//! | its supervisor | [`WORKER`] | kills the worker, tells the gateway ([`EXIT_REPORT`]) and leaves |
//! | who started the supervisor: kubelet, or the local runner | [`GRACE`] | kills the supervisor and all it started |
//!
//! A worker that the hub no longer wants hears of it in its view and leaves without a signal; the runner's stop works so, and
//! gives all sites together the same [`GRACE`].
use std::time::Duration;

/// A worker tries so long to save; then it leaves without. On a laptop a small model is saved within a second.
pub const SAVE: Duration = Duration::from_secs(10);
/// A worker waits so long for its last report to become durable.
pub const REPORT: Duration = Duration::from_secs(5);
/// A supervisor kills a worker that is still there then. The rest over [`SAVE`] and [`REPORT`] is for the step under way and
/// for a store that is slow with the last object.
pub const WORKER: Duration = Duration::from_secs(25);
/// A supervisor tries so long to tell the gateway of its worker's exit.
pub const EXIT_REPORT: Duration = Duration::from_secs(2);
/// Everything that a supervisor started is killed then: `terminationGracePeriodSeconds` of a pod, whose default this is.
pub const GRACE: Duration = Duration::from_secs(30);

// Whoever changes one of them is told here if the order no longer holds.
const _: () = assert!(SAVE.as_secs() + REPORT.as_secs() < WORKER.as_secs());
const _: () = assert!(WORKER.as_secs() + EXIT_REPORT.as_secs() < GRACE.as_secs());
