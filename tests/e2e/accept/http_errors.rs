//! Requests that are rejected by HTTP alone.

use reqwest::Method;
use tests::gateway::GatewayResponse;
use tests::{Gateway, callback, http};

const TOO_LARGE: &str = "请求体不能超过262144字节";
const NOT_JSON: &str = "请求体类型必须是application/json";
const NOT_UTF_8: &str = "请求体的字符集（charset）必须是UTF-8";
const COMPRESSED: &str = "不支持压缩的请求体，请去掉Content-Encoding并发送未压缩的内容";
const NO_SUCH_METHOD: &str = "不支持该请求方法";
const NO_SUCH_PATH: &str = "请求的资源不存在";

/// For each: the expected status and message, and the actual answer.
pub(super) async fn all(gateway: &Gateway<'_>) -> Vec<(u16, &'static str, GatewayResponse)> {
    let good = callback("http://127.0.0.1:9/").to_string();
    let large = good.replace("order.paid", &"x".repeat(256 * 1024));
    let chunked = http::chunked(large.as_bytes(), 10_000);
    let mut answers = vec![
        (413, TOO_LARGE, gateway.post_raw(large.clone(), &[]).await),
        (413, TOO_LARGE, gateway.post_raw(chunked, &[]).await),
    ];
    for (header, msg) in [
        (("content-type", "text/plain"), NOT_JSON),
        (
            ("content-type", "application/x-www-form-urlencoded"),
            NOT_JSON,
        ),
        (("content-type", "application/json; charset=gbk"), NOT_UTF_8),
        (("content-encoding", "gzip"), COMPRESSED),
    ] {
        let answered = gateway.post_raw(good.clone(), &[header]).await;
        answers.push((415, msg, answered));
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answered = send(method, gateway.callback_url(), good.clone()).await;
        assert_eq!(answered.headers["allow"], "POST, OPTIONS");
        answers.push((405, NO_SUCH_METHOD, answered));
    }
    for (method, path) in [
        (Method::POST, "/"),
        (Method::GET, "/api"),
        (Method::POST, "/api/callbacks"),
    ] {
        let url = format!("http://{}{path}", gateway.ingress.address);
        answers.push((404, NO_SUCH_PATH, send(method, url, good.clone()).await));
    }
    answers
}

async fn send(method: Method, url: String, body: String) -> GatewayResponse {
    let request = http::client().request(method, url).body(body);
    let response = request.send().await.unwrap();
    GatewayResponse {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.unwrap(),
    }
}
