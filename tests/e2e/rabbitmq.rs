//! What of the gateway is about its line to RabbitMQ alone?

mod heartbeat;
mod mutual_tls;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tests::gateway::Answered;
use tests::ports::free_port;
use tests::{Process, callback, eventually, http};

/// A connection is tried again after 5 s at most; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A role by itself, whose broker may never let it in.
struct Lonely {
    process: Process,
    address: SocketAddr,
}

impl Lonely {
    fn start(role: &str, variables: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let listen = format!("RINGBACK__{}__LISTEN", role.to_uppercase());
        let told = address.to_string();
        let own = [(&*listen, &*told), ("RINGBACK__GUARD__ALLOW", "127.0.0.1")];
        let environment = variables.iter().copied().chain(own);
        Self {
            process: Process::ringback(&[role], environment),
            address,
        }
    }

    /// What `/readyz` says: its status, and how it stands with the broker.
    async fn broker(&self) -> Result<(u16, String), String> {
        let url = format!("http://{}/readyz", self.address);
        let answer = http::client().get(url).send().await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        Ok((status, body["broker"].as_str().unwrap().to_owned()))
    }

    /// Waits until it has been turned away this often, and gives the words for it. It must never
    /// have been let in.
    async fn turned_away(&mut self, times: usize) -> String {
        let down = "broker connection down";
        eventually("the tries to connect", SOON, async || {
            let log = self.process.log();
            let seen = log.matches(down).count();
            (seen >= times).then_some(()).ok_or(log)
        })
        .await;
        assert_eq!(self.process.ended(), None);
        // It may try before it listens.
        let (status, said) = eventually("an answer", SOON, async || self.broker().await).await;
        assert_eq!(status, 503, "{said}");
        assert!(!self.process.log().contains("broker connected"));
        said
    }

    async fn post(&self) -> Answered {
        let url = format!("http://{}/api/callback", self.address);
        let body = callback("http://127.0.0.1:9/").to_string();
        let response = http::client().post(url).body(body).send().await.unwrap();
        Answered {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap(),
        }
    }
}
