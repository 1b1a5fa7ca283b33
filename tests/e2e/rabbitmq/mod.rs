//! The gateway's connection to RabbitMQ.
//!
//! - `conformance.rs`: the broker's conformance suite
//! - `heartbeat.rs`, `tls.rs`, `mutual_tls.rs`: the connection
//! - `intake.rs`: the intake while no dispatcher runs
//! - `startup.rs`: starting without a broker, and the printed topology
//! - `journal_outage.rs`: PostgreSQL is away while RabbitMQ works
//! - `unaccounted.rs`: callbacks whose message is gone

mod canary;
mod conformance;
mod heartbeat;
mod intake;
mod journal_outage;
mod mutual_tls;
mod startup;
mod tls;
mod unaccounted;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tests::gateway::GatewayResponse;
use tests::ports::free_port;
use tests::{Process, callback, eventually, http};

/// A connection is tried again after 5 s at most; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A single process whose broker may never accept it.
struct SingleRole {
    process: Process,
    address: SocketAddr,
    metrics: SocketAddr,
}

impl SingleRole {
    fn start(role: &str, variables: &[(&str, &str)]) -> Self {
        let [address, metrics] =
            [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let listen = format!("RINGBACK__{}__LISTEN", role.to_uppercase());
        let (address_text, metrics_text) = (address.to_string(), metrics.to_string());
        let own = [
            (&*listen, &*address_text),
            ("RINGBACK__METRICS__LISTEN", &*metrics_text),
            ("RINGBACK__GUARD__ALLOW", "127.0.0.1"),
        ];
        let environment = variables.iter().copied().chain(own);
        Self {
            process: Process::ringback(&[role], environment),
            address,
            metrics,
        }
    }

    /// The answer of `/readyz`: its status, and the state of the broker.
    async fn broker(&self) -> Result<(u16, String), String> {
        let url = format!("http://{}/readyz", self.metrics);
        let answer = http::client().get(url).send().await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        Ok((status, body["broker"].as_str().unwrap().to_owned()))
    }

    /// Waits until its connection has failed this often, and returns the reason. It must never have
    /// connected.
    async fn failed_connections(&mut self, times: usize) -> String {
        let down = "broker connection down";
        eventually("the tries to connect", SOON, async || {
            let log = self.process.log();
            let seen = log.matches(down).count();
            (seen >= times).then_some(()).ok_or(log)
        })
        .await;
        assert_eq!(self.process.ended(), None);
        // It may try to connect before it listens.
        let (status, state) = eventually("an answer", SOON, async || self.broker().await).await;
        assert_eq!(status, 503, "{state}");
        assert!(!self.process.log().contains("broker connected"));
        state
    }

    async fn post(&self) -> GatewayResponse {
        let url = format!("http://{}/api/callback", self.address);
        let body = callback("http://127.0.0.1:9/").to_string();
        let response = http::client().post(url).body(body).send().await.unwrap();
        GatewayResponse {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap(),
        }
    }
}
