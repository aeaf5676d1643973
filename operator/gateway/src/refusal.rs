//! Why a request was not done, as every error answer says it: a name from a closed list and a sentence for people.
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use coalition_protocol::messages::ErrorReply;

use crate::backend::BackendError;
use crate::gang::BadJoin;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: no valid bearer token.
    #[error("{0}")]
    Unauthorized(String),
    /// 404: no such thing.
    #[error("{0}")]
    NotFound(String),
    /// 400: the request cannot be understood, or can never be done.
    #[error("{0}")]
    BadRequest(String),
    /// 413: the body is longer than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// 409: written under a fence that is no longer valid.
    #[error("{0}")]
    StaleFence(String),
    /// 410: the run has ended or this site has no part in it any more.
    #[error("{0}")]
    RunOver(String),
    /// 503: ask again.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    /// The name in `ErrorReply::reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "Unauthorized",
            Self::NotFound(_) => "NotFound",
            Self::BadRequest(_) => "BadRequest",
            Self::TooLarge(_) => "TooLarge",
            Self::StaleFence(_) => "StaleFence",
            Self::RunOver(_) => "RunOver",
            Self::Unavailable(_) => "Unavailable",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::StaleFence(_) => StatusCode::CONFLICT,
            Self::RunOver(_) => StatusCode::GONE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ErrorReply { reason: self.reason().to_owned(), message: self.to_string() };
        let mut response = (self.status(), Json(body)).into_response();
        // RFC 9110: a 401 names the scheme that would do.
        if matches!(self, Self::Unauthorized(_)) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<BackendError> for Refusal {
    // Broken is answered 503 as well: a trainer can only wait for people, who read of it in the site's report.
    fn from(e: BackendError) -> Self {
        Self::Unavailable(e.to_string())
    }
}

impl From<BadJoin> for Refusal {
    fn from(e: BadJoin) -> Self {
        Self::BadRequest(e.to_string())
    }
}
