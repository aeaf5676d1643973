//! What can go wrong between two sites. Each message says which object, from whom, and what happens next.
use coalition_outer::OuterError;
use coalition_store::StoreError;

/// Why an object was not moved.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// The other side could not be reached or did not answer in time.
    #[error("{key} from {from}: {what}; it is asked again, other holders first")]
    Unreachable {
        /// The object.
        key: String,
        /// Base address of the peer.
        from: String,
        /// What happened.
        what: String,
    },
    /// The other side does not have it.
    #[error("{key} is not at {from}")]
    NotThere {
        /// The object.
        key: String,
        /// Base address of the peer.
        from: String,
    },
    /// The other side refused, with its own words.
    #[error("{from} refused {key}: {reason}: {message}")]
    Refused {
        /// The object.
        key: String,
        /// Base address of the peer.
        from: String,
        /// The peer's reason.
        reason: String,
        /// The peer's message.
        message: String,
    },
    /// More bytes than the object may have.
    #[error("{key} from {from} has more than the {limit} bytes it may have: not taken")]
    TooLarge {
        /// The object.
        key: String,
        /// Base address of the peer.
        from: String,
        /// The bound.
        limit: u64,
    },
    /// A record is missing in the middle of the mirrored history.
    #[error(
        "{store} holds no {key}, but {later}: a mirrored record was lost, and those after it prove nothing without it; put it \
         back from another site's store or a copy"
    )]
    Lost {
        /// The missing record.
        key: String,
        /// The store.
        store: String,
        /// A later one that is there.
        later: String,
    },
    /// Bytes that are not what was promised.
    #[error("{key} is damaged or forged: {what}; it is fetched again from another holder")]
    Damaged {
        /// The object.
        key: String,
        /// What does not fit.
        what: String,
    },
    /// Nobody that should hold it is among the peers.
    #[error("{key}: none of its holders ({holders}) is a peer this site can reach")]
    NoHolder {
        /// The object.
        key: String,
        /// Who should have it.
        holders: String,
    },
    /// The own store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A contribution that does not fit.
    #[error(transparent)]
    Contribution(#[from] OuterError),
}

impl CourierError {
    /// True if the own store does not take or give anything just now. A single damaged object is not that.
    pub const fn own_store(&self) -> bool {
        matches!(self, Self::Store(e) if e.is_out_of_service())
    }
}
