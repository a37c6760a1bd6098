//! Answers that refuse a request.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// A status and the code in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
}

impl Refusal {
    pub(super) const BAD_REQUEST: Self = new(StatusCode::BAD_REQUEST, "InvalidArgument");
    pub(super) const BODY: Self = new(StatusCode::BAD_REQUEST, "IncompleteBody");
    pub(super) const PART_ORDER: Self = new(StatusCode::BAD_REQUEST, "InvalidPartOrder");
    pub(super) const NO_PART: Self = new(StatusCode::BAD_REQUEST, "InvalidPart");
    pub(super) const SMALL_PART: Self = new(StatusCode::BAD_REQUEST, "EntityTooSmall");
    pub(super) const TOKEN: Self = new(StatusCode::UNAUTHORIZED, "AuthenticationRequired");
    pub(super) const NO_BUCKET: Self = new(StatusCode::NOT_FOUND, "NoSuchBucket");
    pub(super) const NO_OBJECT: Self = new(StatusCode::NOT_FOUND, "NoSuchKey");
    pub(super) const NO_UPLOAD: Self = new(StatusCode::NOT_FOUND, "NoSuchUpload");
    pub(super) const PRECONDITION: Self =
        new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    pub(super) const RANGE: Self = new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
    /// Something of the API that this fake does not play.
    pub(super) const UNKNOWN: Self = new(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
}

const fn new(status: StatusCode, code: &'static str) -> Refusal {
    Refusal { status, code }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.code;
        let message = self.status.canonical_reason().unwrap_or_default();
        let body = format!(
            "<?xml version='1.0' encoding='UTF-8'?>\
             <Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        (self.status, [(CONTENT_TYPE, "application/xml; charset=UTF-8")], body).into_response()
    }
}
