//! The hub's signature over a record's canonical bytes (Ed25519, RFC 8032). Signing is deterministic: no randomness here.
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::canonical::{self, NotCanonical};
use crate::record::Record;

/// Holds a record with the hub's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedRecord {
    /// Holds the record as it was signed.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    pub record: Record,
    /// Holds the hub's Ed25519 signature over its canonical bytes, 128 hexadecimal characters.
    #[cfg_attr(feature = "schema", schemars(length(min = 128, max = 128), regex(pattern = "^[0-9a-f]{128}$")))]
    pub signature: String,
}

/// Why a signature or key was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not a key or signature at all.
    #[error("{what} is not {len} hexadecimal characters of a valid Ed25519 value")]
    Malformed {
        /// Which value.
        what: &'static str,
        /// How long it should be.
        len: usize,
    },
    /// The signature does not fit.
    #[error("record {seq} of run {run} does not carry a valid signature of the hub key named in genesis")]
    Forged {
        /// The run.
        run: String,
        /// The record.
        seq: u64,
    },
    /// The record has no canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
}

/// The hub's signing key. `Debug` does not show it.
pub struct HubKey(SigningKey);

impl std::fmt::Debug for HubKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HubKey({})", self.public().0)
    }
}

/// The public half, as it stands in genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub String);

impl HubKey {
    /// From 32 random bytes, drawn by the caller.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(hex::encode(self.0.verifying_key().to_bytes()))
    }
    /// Signs a record.
    pub fn sign(&self, record: Record) -> Result<SignedRecord, NotCanonical> {
        let signature = self.0.sign(&canonical::bytes(&record)?);
        Ok(SignedRecord { record, signature: hex::encode(signature.to_bytes()) })
    }
}

impl PublicKey {
    fn parse(&self) -> Result<VerifyingKey, SignError> {
        let bad = || SignError::Malformed { what: "hub key", len: 64 };
        let mut b = [0; 32];
        hex::decode_to_slice(&self.0, &mut b).map_err(|_| bad())?;
        VerifyingKey::from_bytes(&b).map_err(|_| bad())
    }

    /// Checks a record's signature (strictly: no small-order keys, no malleable signatures).
    pub fn verify(&self, signed: &SignedRecord) -> Result<(), SignError> {
        let mut b = [0; 64];
        hex::decode_to_slice(&signed.signature, &mut b)
            .map_err(|_| SignError::Malformed { what: "signature", len: 128 })?;
        let bytes = canonical::bytes(&signed.record)?;
        self.parse()?
            .verify_strict(&bytes, &Signature::from_bytes(&b))
            .map_err(|_| SignError::Forged { run: signed.record.run.to_string(), seq: signed.record.seq.0 })
    }
}
