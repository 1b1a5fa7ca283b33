//! Who answers on a port that is taken: a gateway, a practice callee, or something else.
//!
//! Plain sockets with short timeouts: it is asked at a start that has failed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use admin::cli::http::reachable;

/// How long a connection, and each whole answer, may take.
const TIMEOUT: Duration = Duration::from_millis(700);
/// As much of an answer is read.
const MAX_BYTES: usize = 8 * 1024;

/// Names a process that answers the operators' API. The address is for documentation: nothing is
/// resolved or called.
const WHO: &str = "/admin/v1/guard?target=http%3A%2F%2F192.0.2.1%2F";

/// Who answers on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// A gateway; its role, machine and process, where it tells.
    Gateway(Option<String>),
    PracticeCallee,
}

impl Occupant {
    /// Role, machine and process.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Gateway(name) => name.as_deref(),
            Self::PracticeCallee => None,
        }
    }
}

/// Asks whoever listens there. `None`: something else, or no answer.
pub(super) fn occupant_of(listen: SocketAddr) -> Option<Occupant> {
    if listen.port() == 0 {
        return None;
    }
    let address = reachable(listen);
    for path in [WHO, "/readyz", "/received/count"] {
        let answer = get(address, path)?;
        if let Some(found) = recognise(path, &answer) {
            return Some(found);
        }
    }
    None
}

/// The whole answer, as text. `None`: there was none in time.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let deadline = Instant::now() + TIMEOUT;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    // What was read before the deadline counts.
    while answer.len() < MAX_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

fn recognise(path: &str, answer: &str) -> Option<Occupant> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let is_ready_page = || {
        let begins = [
            "{\"status\":\"ready\"",
            "{\"status\":\"not ready\"",
            "{\"ready\":",
        ];
        begins.iter().any(|begin| body.starts_with(begin))
    };
    match path {
        WHO if body.contains("urn:problem-type:ringback:") => Some(Occupant::Gateway(None)),
        WHO => {
            let view: serde_json::Value = serde_json::from_str(body).ok()?;
            let (name, target) = (view.get("process")?.as_str()?, view.get("target"));
            target.map(|_| Occupant::Gateway(Some(name.to_owned())))
        }
        "/readyz" => is_ready_page().then_some(Occupant::Gateway(None)),
        _ => body
            .starts_with("{\"count\":")
            .then_some(Occupant::PracticeCallee),
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::practice_callee;

    #[test]
    fn answers_of_a_gateway_are_told_from_those_of_others() {
        let of = |path: &str, body: &str| {
            let found = recognise(path, &format!("HTTP/1.1 200 OK\r\na: b\r\n\r\n{body}"));
            found.map(|found| found.name().map(str::to_owned))
        };
        let named = r#"{"process":"dev@here:7","target":"http://192.0.2.1:80","addresses":[]}"#;
        assert_eq!(of(WHO, named), Some(Some("dev@here:7".to_owned())));
        let refused = r#"{"type":"urn:problem-type:ringback:unauthenticated"}"#;
        assert_eq!(of(WHO, refused), Some(None));
        assert_eq!(of("/readyz", r#"{"status":"not ready"}"#), Some(None));
        assert_eq!(
            of("/readyz", r#"{"ready":true,"draining":false}"#),
            Some(None)
        );
        for (path, body) in [
            (WHO, "<html>"),
            (WHO, r#"{"process":"x"}"#),
            ("/readyz", "ok"),
            ("/readyz", r#"{"status":"UP"}"#),
            ("/received/count", "3"),
        ] {
            assert_eq!(of(path, body), None, "{path} {body}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_practice_callee_is_recognised_and_a_free_port_is_nobodys() {
        let stop = CancellationToken::new();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, serving) = practice_callee::serve(listen, stop.clone()).unwrap();
        let serving = tokio::spawn(serving);
        assert_eq!(occupant_of(address), Some(Occupant::PracticeCallee));
        stop.cancel();
        serving.await.unwrap().unwrap();
        assert_eq!(occupant_of(address), None);
    }
}
