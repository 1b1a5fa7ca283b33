//! Compresses large answers of the API for clients that accept gzip.
//!
//! Pages of the console are left alone: they hold both what a stranger may have chosen and what belongs
//! to a session, and the size of a compressed page would tell of the one by the other.

use actix_http::encoding::Encoder;
use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AcceptEncoding, ContentEncoding, Encoding, Header as _};
use actix_web::middleware::Next;

use crate::console;

/// Smaller answers fit into a packet or two.
const MIN_BYTES: u64 = 4 * 1024;

/// Middleware. A stream, whose size is not known, is never compressed.
pub(super) async fn compress_large(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let may_compress = accepts_gzip(&request) && !console::owns(request.path());
    let response = next.call(request).await?;
    Ok(response.map_body(|head, body| {
        let is_large = matches!(body.size(), BodySize::Sized(bytes) if bytes >= MIN_BYTES);
        let encoding = match may_compress && is_large {
            true => ContentEncoding::Gzip,
            false => ContentEncoding::Identity,
        };
        Encoder::response(encoding, head, body)
    }))
}

fn accepts_gzip(request: &ServiceRequest) -> bool {
    let supported = [Encoding::gzip(), Encoding::identity()];
    let accepted = AcceptEncoding::parse(request).ok();
    let chosen = accepted.and_then(|accepted| accepted.negotiate(supported.iter()));
    chosen == Some(Encoding::gzip()) && request.headers().contains_key("accept-encoding")
}
