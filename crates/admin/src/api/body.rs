//! Request bodies: one JSON object of limited size.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;

use super::error::ApiError;

/// The largest request body: enough for a thousand ids.
pub(super) const MAX_BODY_BYTES: usize = 128 * 1024;

/// The bytes of a request body.
pub(super) struct BodyBytes(Bytes);

impl Deref for BodyBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Parses a body.
///
/// # Errors
/// When it is not the expected JSON object.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    // serde would also accept a list of the members.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::body("the body is not a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::body(format!("the body cannot be read: {error}")))
}

impl FromRequest for BodyBytes {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            bytes
                .await
                .map(Self)
                .map_err(|error| match error.as_response_error().status_code() {
                    StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge(MAX_BODY_BYTES),
                    _ => ApiError::body(format!("the body cannot be read: {error}")),
                })
        })
    }
}
