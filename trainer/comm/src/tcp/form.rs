//! Forming the mesh: every rank dials the ranks below it and accepts those above. Must not know what will be carried.
//!
//! All ranks listen before they join, so a refused connection means a dead process, not one that is late. Rank 0 only
//! accepts, rank 1 dials 0 and then accepts, and so on: by induction nobody waits in a circle.
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Sockets;
use super::handshake::{self, Hello, Refusal};
use crate::algorithms::Mesh;
use crate::{Collective, CommError};

/// How long a caller may take to prove itself: a round trip or two, and some scheduling on a busy machine.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// Pause before an address is dialled again whose process is still busy with an older attempt.
const AGAIN: Duration = Duration::from_millis(20);

/// A gang to be formed.
#[derive(Clone, Debug)]
pub struct Gang {
    /// This rank.
    pub rank: usize,
    /// Where every rank listens, `HOST:PORT`, in the order of ranks; its length is the number of ranks.
    pub peers: Vec<String>,
    /// The attempt (D8): ranks of different attempts never meet.
    pub attempt: u64,
    /// Secret that all ranks of this attempt share.
    pub token: [u8; 32],
    /// How long forming may take.
    pub form: Duration,
    /// How long each later call may take.
    pub deadline: Duration,
}

/// Forms the mesh. `listener` is the socket whose address this rank gave to the others; it may serve later attempts too.
pub fn form(listener: &TcpListener, gang: &Gang) -> Result<Box<dyn Collective>, CommError> {
    let world = gang.peers.len();
    if gang.rank >= world {
        return Err(CommError::Forming(format!("rank {} in a gang of {world}", gang.rank)));
    }
    let until = Instant::now() + gang.form;
    let mut peers: Vec<Option<TcpStream>> = (0..world).map(|_| None).collect();
    for (p, peer) in peers.iter_mut().enumerate().take(gang.rank) {
        *peer = Some(dial(gang, p, until)?);
    }
    while peers.iter().skip(gang.rank + 1).any(Option::is_none) {
        if let Some((p, s)) = accept(listener, gang, &peers, until)? {
            peers[p] = Some(s);
        }
    }
    for s in peers.iter().flatten() {
        let ready = s.set_nodelay(true).and_then(|()| s.set_nonblocking(true)).and_then(|()| s.set_read_timeout(None));
        ready.map_err(|e| CommError::Forming(format!("cannot prepare a connection: {e}")))?;
    }
    Ok(Box::new(Mesh::new(Sockets { rank: gang.rank, deadline: gang.deadline, peers })))
}

fn hello(gang: &Gang) -> Result<Hello, CommError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|e| CommError::Forming(format!("no random bytes: {e}")))?;
    Ok(Hello { attempt: gang.attempt, rank: gang.rank as u32, world: gang.peers.len() as u32, nonce })
}

fn dial(gang: &Gang, p: usize, until: Instant) -> Result<TcpStream, CommError> {
    let address = gang.peers[p].clone();
    let refused = |reason: String| CommError::Refused { rank: p, address: address.clone(), reason };
    let late = || CommError::Deadline { call: "forming the gang", waiting_for: vec![p], deadline: gang.form };
    let to = address
        .to_socket_addrs()
        .map_err(|e| refused(format!("not an address: {e}")))?
        .next()
        .ok_or_else(|| refused("not an address".to_owned()))?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        let s = TcpStream::connect_timeout(&to, left).map_err(|e| match e.kind() {
            ErrorKind::TimedOut => late(),
            _ => CommError::PeerLost { rank: p, reason: format!("{address}: {e}") },
        })?;
        match handshake::dial(&s, hello(gang)?, p as u32, &gang.token, until) {
            Ok(()) => return Ok(s),
            Err(Refusal::Attempt(theirs)) if theirs > gang.attempt => {
                return Err(CommError::Superseded { mine: gang.attempt, theirs });
            }
            // It has not yet heard of the new attempt, or it hung up on the old one: it will.
            Err(Refusal::Attempt(_) | Refusal::Gone(_)) => std::thread::sleep(AGAIN),
            Err(Refusal::Stranger(why)) => return Err(refused(why.to_owned())),
        }
    }
}

fn accept(
    listener: &TcpListener,
    gang: &Gang,
    peers: &[Option<TcpStream>],
    until: Instant,
) -> Result<Option<(usize, TcpStream)>, CommError> {
    let known: Vec<usize> = (0..peers.len()).filter(|p| peers[*p].is_some()).collect();
    let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
    fds.extend(peers.iter().flatten().map(|s| PollFd::new(s, PollFlags::RDHUP)));
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut fds, Some(&timeout)) {
        Ok(0) => {
            let waiting_for = (gang.rank + 1..peers.len()).filter(|p| peers[*p].is_none()).collect();
            return Err(CommError::Deadline { call: "forming the gang", waiting_for, deadline: gang.form });
        }
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(None),
        Err(e) => return Err(CommError::Forming(format!("poll failed: {e}"))),
    }
    if let Some(p) = known.iter().zip(&fds[1..]).find(|(_, f)| !f.revents().is_empty()).map(|(p, _)| *p) {
        return Err(CommError::PeerLost { rank: p, reason: "it left while the gang formed".to_owned() });
    }
    let s = match listener.accept() {
        Ok((s, _)) => s,
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(e) => return Err(CommError::Forming(format!("cannot accept a connection: {e}"))),
    };
    // A stranger costs at most one handshake's time and nothing else.
    let by = until.min(Instant::now() + HANDSHAKE);
    let caller = s
        .set_nonblocking(false)
        .map_err(|e| Refusal::Gone(e.to_string()))
        .and_then(|()| handshake::accept(&s, hello(gang).map_err(|e| Refusal::Gone(e.to_string()))?, &gang.token, by));
    match caller {
        Ok(p) if peers[p as usize].is_none() => Ok(Some((p as usize, s))),
        // Not proved, since its token is another: it only makes this rank ask the gateway, which knows.
        Err(Refusal::Attempt(theirs)) if theirs > gang.attempt => {
            Err(CommError::Superseded { mine: gang.attempt, theirs })
        }
        other => {
            tracing::debug!(?other, attempt = gang.attempt, "refused a connection");
            Ok(None)
        }
    }
}
