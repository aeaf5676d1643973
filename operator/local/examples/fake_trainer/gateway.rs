//! Its client of the gateway.
use std::time::Duration;

use coalition_protocol::messages::ErrorReply;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Config;

#[derive(Clone)]
pub struct Gateway {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Gateway {
    pub fn new(config: &Config) -> Self {
        let token = std::fs::read_to_string(&config.token_file).expect("a token");
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(40)).build().expect("a client");
        Self { http, base: config.gateway.clone(), token: token.trim().to_owned() }
    }

    async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, String> {
        let r = request.send().await.map_err(|e| format!("Unreachable: {e}"))?;
        let ok = r.status().is_success();
        let body = r.bytes().await.map_err(|e| e.to_string())?;
        if ok {
            return serde_json::from_slice(&body).map_err(|e| e.to_string());
        }
        Err(serde_json::from_slice::<ErrorReply>(&body).map_or_else(|e| e.to_string(), |e| e.reason))
    }

    /// Posts; the error is the reason's name.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, String> {
        let body = serde_json::to_vec(body).expect("it serialises");
        Self::answer(self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).body(body)).await
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        Self::answer(self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token)).await
    }
}
