//! JSON answers that end with a line end, for people who read them on a terminal.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

/// Ends the answer with this value as JSON and a line end. A content type that is set stays.
///
/// Not for callers' API, whose bodies are exact to the byte.
pub fn json_line(response: &mut HttpResponseBuilder, value: &impl Serialize) -> HttpResponse {
    let mut body = match serde_json::to_vec(value) {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            return HttpResponse::InternalServerError().finish();
        }
    };
    body.push(b'\n');
    let mut response = response.body(body);
    let headers = response.headers_mut();
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_answer_ends_with_one_line_end_and_keeps_its_content_type() {
        let answer = json_line(&mut HttpResponse::Ok(), &json!({"a": 1}));
        assert_eq!(
            answer.headers().get(CONTENT_TYPE).unwrap(),
            "application/json"
        );
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert_eq!(body, "{\"a\":1}\n");
        let mut problem = HttpResponse::BadRequest();
        problem.insert_header((CONTENT_TYPE, "application/problem+json"));
        let answer = json_line(&mut problem, &json!([]));
        assert_eq!(answer.status(), 400);
        let types: Vec<_> = answer.headers().get_all(CONTENT_TYPE).collect();
        assert_eq!(types, ["application/problem+json"]);
    }
}
