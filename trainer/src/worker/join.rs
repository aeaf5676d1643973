//! Becoming part of a gang: ask the gateway, then meet the other ranks. Must not know what the gang will do.
use std::net::TcpListener;
use std::time::{Duration, Instant};

use coalition_comm::Collective;
use coalition_comm::tcp::{Gang, form};
use coalition_protocol::messages::JoinRequest;
use coalition_protocol::{Attempt, Digest, exit};
use serde::Serialize;

use crate::alive::turned;
use crate::config::WorkerConfig;
use crate::events::{emit, is_in};
use crate::failure::{Failure, Stop};
use crate::gateway::{Backoff, Gateway};
use crate::once::Once;

/// How long ranks that were all told of each other may take to meet.
const FORM: Duration = Duration::from_secs(10);
/// Longest call of the collective. Rank 0 sends a decision at least once a second, except while it reads or writes a
/// checkpoint: this is for the slowest store.
const CALL: Duration = Duration::from_mins(5);
/// A gateway that was away for so long is gone for good: whoever keeps this process starts it anew.
const GONE: Duration = Duration::from_mins(15);

/// A seat in a gang.
pub struct Seat {
    /// The attempt.
    pub attempt: Attempt,
    /// The gang.
    pub comm: Box<dyn Collective>,
}

#[derive(Serialize)]
struct Joined {
    world: usize,
}

/// Who asks.
pub struct Asking<'a> {
    /// The worker.
    pub config: &'a WorkerConfig,
    /// The gateway.
    pub gateway: &'a Gateway,
    /// Name of this process.
    pub process: &'a str,
    /// Where its collective listens.
    pub listener: &'a TcpListener,
    /// Its class (D1).
    pub class: Digest,
}

impl Asking<'_> {
    /// Joins, after the attempt that failed, if one did. `Err(Stop::Exit)` with code 0 means that the run is over.
    pub fn join(&self, mut after: Option<Attempt>) -> Result<Seat, Stop> {
        let listen = self
            .listener
            .local_addr()
            .map_err(|e| Failure::new(exit::CONFIG, format!("the collective does not listen: {e}")))?
            .to_string();
        let mut backoff = Backoff::new();
        let mut away: Option<Instant> = None;
        let mut unavailable = Once::default();
        loop {
            turned();
            let request = JoinRequest {
                worker: self.config.worker,
                process: self.process.to_owned(),
                listen: listen.clone(),
                class: self.class,
                after,
            };
            let reply = match self.gateway.join(&request) {
                Ok(reply) => reply,
                Err(e) if e.reason() == "RunOver" => return Err(Failure::new(exit::FINISHED, e.to_string()).into()),
                Err(e) if e.reason() == "Unavailable" => {
                    unavailable.warn(e.to_string());
                    away = None;
                    std::thread::sleep(backoff.next());
                    continue;
                }
                Err(e) if e.passing() => {
                    let since = *away.get_or_insert_with(Instant::now);
                    if since.elapsed() > GONE {
                        return Err(Failure::new(exit::GATEWAY, e.to_string()).into());
                    }
                    if e.reason() == "Unauthorized" {
                        unavailable.warn(e.to_string());
                    } else {
                        tracing::debug!("{e}");
                    }
                    std::thread::sleep(backoff.next());
                    continue;
                }
                Err(e) => return Err(Failure::new(exit::CONFIG, e.to_string()).into()),
            };
            backoff = Backoff::new();
            away = None;
            let mut token = [0; 32];
            hex::decode_to_slice(&reply.token, &mut token)
                .map_err(|_| Failure::bug("the gateway's token is not 64 hexadecimal characters"))?;
            let gang = Gang {
                rank: self.config.worker as usize,
                peers: reply.peers,
                attempt: reply.attempt.0,
                token,
                form: FORM,
                deadline: CALL,
            };
            let world = gang.peers.len();
            match form(self.listener, &gang) {
                Ok(comm) => {
                    is_in(reply.attempt);
                    emit("joined", Joined { world });
                    return Ok(Seat { attempt: reply.attempt, comm });
                }
                Err(e) => {
                    tracing::info!(attempt = %reply.attempt, "{e}");
                    after = Some(reply.attempt);
                }
            }
        }
    }
}
