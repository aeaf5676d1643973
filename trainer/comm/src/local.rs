//! Ranks as threads of one process, linked by channels. Must not know sockets.
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::algorithms::Mesh;
use crate::links::{Call, Length, Links};
use crate::{Collective, CommError};

struct Frame {
    call: (u32, u64),
    bytes: Vec<u8>,
}

struct Channels {
    rank: usize,
    deadline: Duration,
    to: Vec<Option<Sender<Frame>>>,
    from: Vec<Option<Receiver<Frame>>>,
}

/// The ranks of a gang of `world` threads, in order; each call of each has `deadline`.
pub fn gang(world: usize, deadline: Duration) -> Vec<Box<dyn Collective>> {
    let mut ends: Vec<Channels> = (0..world)
        .map(|rank| Channels {
            rank,
            deadline,
            to: (0..world).map(|_| None).collect(),
            from: (0..world).map(|_| None).collect(),
        })
        .collect();
    for a in 0..world {
        for b in (0..world).filter(|b| *b != a) {
            let (to, from) = channel();
            ends[a].to[b] = Some(to);
            ends[b].from[a] = Some(from);
        }
    }
    ends.into_iter().map(|e| Box::new(Mesh::new(e)) as Box<dyn Collective>).collect()
}

/// A gang of one: every collective returns at once.
pub fn alone() -> Box<dyn Collective> {
    Box::new(Mesh::new(Channels { rank: 0, deadline: Duration::ZERO, to: vec![None], from: vec![None] }))
}

impl Links for Channels {
    fn rank(&self) -> usize {
        self.rank
    }
    fn world(&self) -> usize {
        self.to.len()
    }
    fn exchange(
        &mut self,
        call: Call,
        out: &[Option<&[u8]>],
        from: &[Option<Length>],
        inbox: &mut [Vec<u8>],
    ) -> Result<(), CommError> {
        let lost = |rank| CommError::PeerLost { rank, reason: "its thread ended".to_owned() };
        for (p, bytes) in out.iter().enumerate() {
            if let (Some(bytes), Some(to)) = (bytes, &self.to[p]) {
                let frame = Frame { call: (call.kind, call.number), bytes: bytes.to_vec() };
                to.send(frame).map_err(|_| lost(p))?;
            }
        }
        let until = Instant::now() + self.deadline;
        for (p, length) in from.iter().enumerate() {
            let (Some(length), Some(from)) = (length, &self.from[p]) else { continue };
            let frame = from.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(|e| match e {
                RecvTimeoutError::Disconnected => lost(p),
                RecvTimeoutError::Timeout => {
                    CommError::Deadline { call: call.name, waiting_for: vec![p], deadline: self.deadline }
                }
            })?;
            if frame.call != (call.kind, call.number) {
                return Err(CommError::OutOfStep {
                    rank: p,
                    expected: format!("{} number {}", call.name, call.number),
                    got: format!("kind {} number {}", frame.call.0, frame.call.1),
                });
            }
            length.check(call, p, frame.bytes.len() as u64)?;
            inbox[p] = frame.bytes;
        }
        Ok(())
    }
}
