//! The most that a message between hub and site may hold where it travels as one object of a bounded size. Who writes one
//! keeps to them; the schema refuses what does not. All together they are larger than a message may be: the sum is bounded
//! where objects are made.

/// Sites of a run: the most that `spec.sites.max` allows.
pub const MEMBERS: usize = 64;
/// Contributions of open plans in one message: one of each member for each of two open plans.
pub const CONTRIBUTIONS: usize = 2 * MEMBERS;
/// Own offers in one report: two open plans, and the log entries that a site went back and forth between.
pub const OWN_OFFERS: usize = 16;
/// Plans whose leases one contribution uses: its own, and those of late work.
pub const LEASES: usize = 8;
/// Ranges of positions in one lease. A lease takes the lowest free positions, so it has as many ranges as holes came back.
pub const INTERVALS: usize = 256;
/// Chunk digests of one state: 512 of 2^22 elements for each of θ and u, two billion parameters. Of larger models a state
/// travels without them, and whoever looks into a disagreement recomputes all chunks.
pub const CHUNKS: usize = 1024;
/// Run checkpoints in one report: the 100 that `retention.last` may ask for, and what a site writes and fetches meanwhile.
pub const CHECKPOINTS: usize = 128;
/// Run checkpoints to keep: those 100, the newest of each member, and what people pinned.
pub const KEPT: usize = 256;
/// Mirrored records in one page.
pub const RECORDS: usize = 64;
/// Features a site must know.
pub const FEATURES: usize = 32;
/// Characters of a feature's name.
pub const FEATURE: usize = 63;
/// Failures in a report: what a gateway keeps of them.
pub const FAILURES: usize = 32;
/// Characters of a failure's log: what a gateway keeps of the newest.
pub const LOG: usize = 8 * 1024;
/// Different refusals in a report.
pub const REFUSALS: usize = 16;
/// Characters of words for people: a refusal, what is waited for.
pub const WORDS: usize = 1024;
/// Characters of a courier's address: a scheme, a host name and a port.
pub const ENDPOINT: usize = 253;
/// Characters of a leader's nonce.
pub const NONCE: usize = 64;
/// Form of an address: without a user's name, a password or a query, so that no secret ends up in a message.
pub const ADDRESS: &str = "^[a-z][a-z0-9+.-]*://[^@?#\\s]+$";
