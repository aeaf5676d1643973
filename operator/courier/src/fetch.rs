//! Fetching one object from one peer: a bound on bytes, a bound on time, typed refusals.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coalition_protocol::messages::ErrorReply;
use reqwest::StatusCode;

use crate::CourierError;

/// Longest wait for a connection: a live peer on another continent answers in a third of it.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest silence within a transfer; a slow link moves bytes all the time, a dead one does not.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest error body read.
const MAX_ERROR: u64 = 16 * 1024;

/// Fetches objects from other sites' couriers.
#[derive(Clone, Debug)]
pub struct Fetcher {
    http: reqwest::Client,
    token: String,
}

impl Fetcher {
    /// `token` is the bearer token the peers ask for.
    pub fn new(token: impl Into<String>) -> Result<Self, CourierError> {
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).no_proxy().build().map_err(
                |e| CourierError::Unreachable {
                    key: "any object".to_owned(),
                    from: "any site".to_owned(),
                    what: format!("no HTTP client could be set up: {e}"),
                },
            )?;
        Ok(Self { http, token: token.into() })
    }

    /// The bytes of `key` at the courier at `from`, at most `limit`.
    pub async fn get(&self, from: &str, key: &str, limit: u64) -> Result<Bytes, CourierError> {
        let unreachable = |e: reqwest::Error| CourierError::Unreachable {
            key: key.to_owned(),
            from: from.to_owned(),
            what: e.without_url().to_string(),
        };
        let url = format!("{}/v1/objects/{key}", from.trim_end_matches('/'));
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.map_err(unreachable)?;
        let status = answer.status();
        if status == StatusCode::NOT_FOUND {
            return Err(CourierError::NotThere { key: key.to_owned(), from: from.to_owned() });
        }
        let bound = if status.is_success() { limit } else { MAX_ERROR };
        let body = read(answer, bound).await.map_err(unreachable)?;
        match body {
            Some(body) if status.is_success() => Ok(body),
            Some(body) => {
                let reply = serde_json::from_slice::<ErrorReply>(&body)
                    .unwrap_or(ErrorReply { reason: status.to_string(), message: "no reason given".to_owned() });
                Err(CourierError::Refused {
                    key: key.to_owned(),
                    from: from.to_owned(),
                    reason: reply.reason,
                    message: reply.message,
                })
            }
            None => Err(CourierError::TooLarge { key: key.to_owned(), from: from.to_owned(), limit: bound }),
        }
    }
}

/// The body, or none if it is longer than `limit`. Counted while it comes: a length header is only a promise.
async fn read(mut answer: reqwest::Response, limit: u64) -> Result<Option<Bytes>, reqwest::Error> {
    if answer.content_length().is_some_and(|l| l > limit) {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await? {
        if body.len() as u64 + part.len() as u64 > limit {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body.freeze()))
}
