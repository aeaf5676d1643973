//! Who may talk to a gateway. On a laptop whoever knows the site's token, in a cluster a worker's newest pod. Must not know what
//! is asked.
use std::future::Future;
use std::pin::Pin;

use coalition_protocol::Digest;

use crate::refusal::Refusal;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody of this gang.
    Any,
    /// This worker of it.
    Worker(u32),
}

impl Caller {
    /// Refuses a request in the name of another worker.
    pub fn speaks_for(self, worker: u32) -> Result<(), Refusal> {
        match self {
            Self::Worker(own) if own != worker => Err(Refusal::Unauthorized(format!(
                "the token is worker {own}'s, and the request is in the name of worker {worker}"
            ))),
            _ => Ok(()),
        }
    }
}

/// An answer that may take a while: keys may have to be read.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Caller, Refusal>> + Send + 'a>>;

/// Tells who may talk to one gang's gateway.
pub trait Guard: Send + Sync + 'static {
    /// Who sent this bearer token (empty if there was none).
    fn caller<'a>(&'a self, token: &'a str) -> Answer<'a>;
}

/// Lets in whoever knows one token.
#[derive(Clone, Debug)]
pub struct SharedToken(Digest);

impl SharedToken {
    /// The token that workers and supervisors carry.
    pub fn new(token: &str) -> Self {
        Self(Digest::of(token.as_bytes()))
    }
}

impl Guard for SharedToken {
    fn caller<'a>(&'a self, token: &'a str) -> Answer<'a> {
        // Digests are compared, not tokens: how long the comparison takes then says nothing about the token.
        let answer = if Digest::of(token.as_bytes()) == self.0 {
            Ok(Caller::Any)
        } else {
            Err(Refusal::Unauthorized("the bearer token is missing or not this site's".to_owned()))
        };
        Box::pin(std::future::ready(answer))
    }
}
