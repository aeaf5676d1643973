//! The first words on a connection: both ends prove that they know the attempt's token, without showing it.
//!
//! ```text
//! each → other   hello = magic, version, attempt, rank, world, nonce
//! each → other   BLAKE3 keyed by token over (role of the sender, dialler's hello, acceptor's hello)
//! ```
//! A recorded answer is worthless on another connection (fresh nonces on both sides) and cannot be reflected (the role is in
//! it). An acceptor that does not want the caller says so with its own hello and closes.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// First bytes of every connection: name and version of this protocol.
const MAGIC: [u8; 8] = *b"coalcom1";
/// Bytes of a hello: magic, attempt (u64), rank and world (u32 each), nonce.
pub(super) const HELLO: usize = 8 + 8 + 4 + 4 + 32;
/// Bytes of a proof: a BLAKE3 hash.
const PROOF: usize = 32;

/// Who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub attempt: u64,
    pub rank: u32,
    pub world: u32,
    pub nonce: [u8; 32],
}

/// What is wrong with a caller or with the one called.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another attempt than ours.
    Attempt(u64),
    /// Wrong token, wrong world, or not this protocol.
    Stranger(&'static str),
    /// The connection broke.
    Gone(String),
}

impl Hello {
    pub fn bytes(&self) -> [u8; HELLO] {
        let mut b = [0; HELLO];
        b[..8].copy_from_slice(&MAGIC);
        b[8..16].copy_from_slice(&self.attempt.to_le_bytes());
        b[16..20].copy_from_slice(&self.rank.to_le_bytes());
        b[20..24].copy_from_slice(&self.world.to_le_bytes());
        b[24..].copy_from_slice(&self.nonce);
        b
    }
    fn parse(b: &[u8; HELLO]) -> Result<Self, Refusal> {
        if b[..8] != MAGIC {
            return Err(Refusal::Stranger("it does not speak this protocol"));
        }
        let mut attempt = [0; 8];
        attempt.copy_from_slice(&b[8..16]);
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let mut nonce = [0; 32];
        nonce.copy_from_slice(&b[24..]);
        Ok(Self { attempt: u64::from_le_bytes(attempt), rank: word(16), world: word(20), nonce })
    }
}

fn proof(token: &[u8; 32], role: u8, dialler: &[u8; HELLO], acceptor: &[u8; HELLO]) -> blake3::Hash {
    let mut h = blake3::Hasher::new_keyed(token);
    h.update(&[role]).update(dialler).update(acceptor);
    h.finalize()
}

/// Reads exactly `buf`, by `until`.
fn read(mut s: &TcpStream, buf: &mut [u8], until: Instant) -> Result<(), Refusal> {
    let gone = |e: std::io::Error| Refusal::Gone(e.to_string());
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    s.set_read_timeout(Some(left)).map_err(gone)?;
    s.read_exact(buf).map_err(gone)
}

fn write(mut s: &TcpStream, buf: &[u8]) -> Result<(), Refusal> {
    s.write_all(buf).map_err(|e| Refusal::Gone(e.to_string()))
}

/// The dialling end: proves itself to the expected rank and checks that one's proof.
pub(super) fn dial(s: &TcpStream, me: Hello, expected: u32, token: &[u8; 32], until: Instant) -> Result<(), Refusal> {
    let mine = me.bytes();
    write(s, &mine)?;
    let mut theirs = [0; HELLO];
    read(s, &mut theirs, until)?;
    let hello = Hello::parse(&theirs)?;
    if hello.attempt != me.attempt {
        return Err(Refusal::Attempt(hello.attempt));
    }
    if hello.rank != expected || hello.world != me.world {
        return Err(Refusal::Stranger("it has another rank or belongs to a gang of another size"));
    }
    write(s, proof(token, b'd', &mine, &theirs).as_bytes())?;
    let mut answer = [0; PROOF];
    read(s, &mut answer, until)?;
    // blake3::Hash compares in constant time.
    if proof(token, b'a', &mine, &theirs) != blake3::Hash::from_bytes(answer) {
        return Err(Refusal::Stranger("it does not know the token of this attempt"));
    }
    Ok(())
}

/// The accepting end: which rank called, if it proved itself.
pub(super) fn accept(s: &TcpStream, me: Hello, token: &[u8; 32], until: Instant) -> Result<u32, Refusal> {
    let mut theirs = [0; HELLO];
    read(s, &mut theirs, until)?;
    let hello = Hello::parse(&theirs)?;
    let mine = me.bytes();
    write(s, &mine)?;
    if hello.attempt != me.attempt {
        return Err(Refusal::Attempt(hello.attempt));
    }
    let mut answer = [0; PROOF];
    read(s, &mut answer, until)?;
    if proof(token, b'd', &theirs, &mine) != blake3::Hash::from_bytes(answer) {
        return Err(Refusal::Stranger("it does not know the token of this attempt"));
    }
    if hello.world != me.world || hello.rank <= me.rank || hello.rank >= me.world {
        return Err(Refusal::Stranger("it has a rank that does not call this one"));
    }
    write(s, proof(token, b'a', &theirs, &mine).as_bytes())?;
    Ok(hello.rank)
}
