//! Ranks as processes linked by TCP: a full mesh of non-blocking sockets, driven by `poll(2)` from the calling thread.
//!
//! Two parts: [`form`] builds the mesh (who dials whom, and how strangers are kept out), this file moves frames over it.
mod form;
mod handshake;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use form::{Gang, form};

use crate::CommError;
use crate::links::{Call, Length, Links};

/// Kind, call number and length of the frame that follows, little-endian.
const HEADER: usize = 4 + 8 + 8;

struct Sockets {
    rank: usize,
    deadline: Duration,
    peers: Vec<Option<TcpStream>>,
}

/// How far one direction of one peer has come, header and body counted together.
struct Cursor {
    header: [u8; HEADER],
    at: usize,
    /// Header and body; known for what is received once the header is complete.
    total: Option<usize>,
}

impl Cursor {
    fn sending(call: Call, body: usize) -> Self {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&call.kind.to_le_bytes());
        header[4..12].copy_from_slice(&call.number.to_le_bytes());
        header[12..].copy_from_slice(&(body as u64).to_le_bytes());
        Self { header, at: 0, total: Some(HEADER + body) }
    }
    const fn receiving() -> Self {
        Self { header: [0; HEADER], at: 0, total: None }
    }
    fn done(&self) -> bool {
        self.total == Some(self.at)
    }
}

fn lost(rank: usize, reason: impl ToString) -> CommError {
    CommError::PeerLost { rank, reason: reason.to_string() }
}

/// Sends what the socket takes. True if it sent something.
fn push(rank: usize, mut socket: &TcpStream, c: &mut Cursor, body: &[u8]) -> Result<bool, CommError> {
    let mut moved = false;
    while !c.done() {
        let sent = if c.at < HEADER {
            socket.write_vectored(&[IoSlice::new(&c.header[c.at..]), IoSlice::new(body)])
        } else {
            socket.write(&body[c.at - HEADER..])
        };
        match sent {
            Ok(0) => return Err(lost(rank, "its connection takes no more bytes")),
            Ok(n) => {
                c.at += n;
                moved = true;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(lost(rank, e)),
        }
    }
    Ok(moved)
}

/// Takes what the socket has. True if it got something.
fn pull(
    rank: usize,
    mut socket: &TcpStream,
    c: &mut Cursor,
    call: Call,
    length: Length,
    body: &mut Vec<u8>,
) -> Result<bool, CommError> {
    let mut moved = false;
    while !c.done() {
        let got =
            if c.at < HEADER { socket.read(&mut c.header[c.at..]) } else { socket.read(&mut body[c.at - HEADER..]) };
        match got {
            Ok(0) => return Err(lost(rank, "it closed its connection")),
            Ok(n) => {
                c.at += n;
                moved = true;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(lost(rank, e)),
        }
        if c.at == HEADER && c.total.is_none() {
            let word = |from: usize| {
                let mut b = [0; 8];
                b.copy_from_slice(&c.header[from..from + 8]);
                u64::from_le_bytes(b)
            };
            let kind = u32::from_le_bytes([c.header[0], c.header[1], c.header[2], c.header[3]]);
            if (kind, word(4)) != (call.kind, call.number) {
                return Err(CommError::OutOfStep {
                    rank,
                    expected: format!("{} number {}", call.name, call.number),
                    got: format!("kind {kind} number {}", word(4)),
                });
            }
            let n = length.check(call, rank, word(12))?;
            // Kept at its old length where that fits: a buffer that is filled anyway need not be cleared.
            body.resize(n, 0);
            c.total = Some(HEADER + n);
        }
    }
    Ok(moved)
}

impl Links for Sockets {
    fn rank(&self) -> usize {
        self.rank
    }
    fn world(&self) -> usize {
        self.peers.len()
    }
    fn exchange(
        &mut self,
        call: Call,
        out: &[Option<&[u8]>],
        from: &[Option<Length>],
        inbox: &mut [Vec<u8>],
    ) -> Result<(), CommError> {
        let world = self.peers.len();
        let mut sends: Vec<_> = out.iter().map(|o| o.map(|b| Cursor::sending(call, b.len()))).collect();
        let mut takes: Vec<_> = from.iter().map(|f| f.map(|_| Cursor::receiving())).collect();
        let until = Instant::now() + self.deadline;
        loop {
            let mut fds = Vec::with_capacity(world);
            let mut waiting = Vec::new();
            for p in 0..world {
                let Some(socket) = &self.peers[p] else { continue };
                let mut flags = PollFlags::empty();
                if let (Some(c), Some(body)) = (&mut sends[p], out[p]) {
                    push(p, socket, c, body)?;
                    if !c.done() {
                        flags |= PollFlags::OUT | PollFlags::RDHUP;
                    }
                }
                if let (Some(c), Some(length)) = (&mut takes[p], from[p]) {
                    pull(p, socket, c, call, length, &mut inbox[p])?;
                    if !c.done() {
                        flags |= PollFlags::IN;
                    }
                }
                if !flags.is_empty() {
                    waiting.push(p);
                    fds.push(PollFd::new(socket, flags));
                }
            }
            if fds.is_empty() {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => {
                    return Err(CommError::Deadline { call: call.name, waiting_for: waiting, deadline: self.deadline });
                }
                Ok(_) => {
                    // A peer that takes nothing more and has closed is gone, even if nothing is expected from it.
                    for (p, fd) in waiting.iter().zip(&fds) {
                        let closed = fd.revents().intersects(PollFlags::RDHUP | PollFlags::ERR | PollFlags::HUP);
                        if closed && takes[*p].as_ref().is_none_or(Cursor::done) {
                            return Err(lost(*p, "it closed its connection"));
                        }
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(CommError::Forming(format!("poll failed: {e}"))),
            }
        }
    }
}
