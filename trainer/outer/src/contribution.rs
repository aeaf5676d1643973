//! C = Enc(Δ) with the manifest that describes it (D12): what a site offers and others hold. The payload of this version
//! is f32, so r is always zero.
use coalition_protocol::bits::BatchHash;
use coalition_protocol::canonical::{self, NotCanonical};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::Offer;
use coalition_protocol::record::LeaseUse;
use coalition_protocol::{Digest, Real};
use serde::{Deserialize, Serialize};

use crate::layout::CHUNK;
use crate::{OuterError, chunks, norm};

/// The version of the manifest format; a reader refuses another one.
pub const VERSION: u32 = 1;

/// How the elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Little-endian f32.
    F32,
}

/// Describes a contribution's data. Its canonical bytes are what stands in the store, their digest is what is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContributionManifest {
    /// Format version, [`VERSION`].
    pub version: u32,
    /// Its name.
    pub key: ContributionKey,
    /// How the elements are written.
    pub payload: Payload,
    /// Elements of the vector, padding included.
    pub elements: u64,
    /// Elements of a chunk, 2^22.
    pub chunk_elements: u64,
    /// Digest of each chunk's bytes, in order.
    pub chunks: Vec<Digest>,
    /// Tokens it stands for, late ones included.
    pub tokens: u64,
    /// Positions used, by plan in rising order.
    pub used: Vec<LeaseUse>,
    /// D26 over exactly those positions.
    pub batch_hash: BatchHash,
    /// ‖Δ‖.
    pub norm: Real,
}

impl ContributionManifest {
    /// Describes `delta`. Refuses what is not finite.
    pub fn describe(
        key: ContributionKey,
        delta: &[f32],
        tokens: u64,
        used: Vec<LeaseUse>,
        batch_hash: BatchHash,
    ) -> Result<Self, OuterError> {
        let norm = norm::norm(&format!("contribution {key}"), delta)?;
        Ok(Self {
            version: VERSION,
            key,
            payload: Payload::F32,
            elements: delta.len() as u64,
            chunk_elements: CHUNK as u64,
            chunks: chunks::digests(delta),
            tokens,
            used,
            batch_hash,
            norm,
        })
    }

    /// The canonical bytes: what is stored.
    pub fn bytes(&self) -> Result<Vec<u8>, NotCanonical> {
        canonical::bytes(self)
    }

    /// The digest of the canonical bytes: what is offered and held.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        canonical::digest(self)
    }

    /// Bytes of the data.
    pub const fn data_bytes(&self) -> u64 {
        self.elements.saturating_mul(4)
    }

    /// What is reported of it once data and manifest are durable (D13).
    pub fn offer(&self) -> Result<Offer, NotCanonical> {
        Ok(Offer {
            key: self.key.clone(),
            digest: self.digest()?,
            bytes: self.data_bytes(),
            tokens: self.tokens,
            used: self.used.clone(),
            batch_hash: self.batch_hash,
            norm: self.norm,
        })
    }

    /// Refuses a manifest of another version or shape, or one that is not what `offer` promised. `elements` is what
    /// genesis says. Checked before the data is fetched, so that no one is made to fetch too much.
    pub fn check(&self, offer: &Offer, elements: u64) -> Result<(), OuterError> {
        let bad = |what: String| Err(OuterError::Manifest { key: offer.key.to_string(), what });
        if self.version != VERSION {
            return bad(format!("manifest version {}, this build knows {VERSION}: upgrade it", self.version));
        }
        if self.elements != elements || self.chunk_elements != CHUNK as u64 {
            return bad(format!(
                "{} elements in chunks of {}, the run has {elements} in chunks of {CHUNK}",
                self.elements, self.chunk_elements
            ));
        }
        if self.chunks.len() as u64 != elements.div_ceil(CHUNK as u64) {
            return bad(format!("{} chunk digests for {elements} elements", self.chunks.len()));
        }
        match self.offer() {
            Ok(o) if o == *offer => Ok(()),
            Ok(_) => bad("its manifest is not the one that was offered".to_owned()),
            Err(e) => bad(e.to_string()),
        }
    }

    /// Checks data against this manifest and decodes it: length, every chunk's digest, finiteness, norm (D13, D14).
    pub fn decode(&self, data: &[u8]) -> Result<Vec<f32>, OuterError> {
        let bad = |what: String| OuterError::Manifest { key: self.key.to_string(), what };
        if data.len() as u64 != self.data_bytes() {
            return Err(bad(format!("{} bytes of data, its manifest says {}", data.len(), self.data_bytes())));
        }
        if self.chunks.len() != data.len().div_ceil(CHUNK * 4) {
            return Err(bad(format!("{} chunk digests for {} bytes", self.chunks.len(), data.len())));
        }
        for (n, (part, expected)) in data.chunks(CHUNK * 4).zip(&self.chunks).enumerate() {
            let got = Digest::of(part);
            if got != *expected {
                let (expected, got) = (expected.short(), got.short());
                return Err(OuterError::Damaged { key: self.key.to_string(), chunk: n, expected, got });
            }
        }
        let delta = chunks::elements(data).ok_or_else(|| bad("its length is not a multiple of four".to_owned()))?;
        let norm = norm::norm(&format!("contribution {}", self.key), &delta)?;
        if norm != self.norm {
            return Err(bad(format!("its norm is {norm}, its manifest says {}", self.norm)));
        }
        Ok(delta)
    }
}

/// Enc(Δ): the bytes that are stored.
pub fn encode(delta: &[f32]) -> Vec<u8> {
    chunks::bytes(delta)
}
