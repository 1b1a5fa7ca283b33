//! 0.2.0 and this version side by side, on one broker and one journal.
//!
//! - this file: processes of either version
//! - `rolling.rs`: an upgrade under load, one role after the other, in both orders
//!
//! Building 0.2.0 takes minutes: the tests are skipped unless `RINGBACK_E2E_UPGRADE=1` is set.

mod rolling;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::callers::{CallerAnswer, accepted_ids};
use tests::earlier_release::binary_0_2_0;
use tests::ports::free_port;
use tests::process::binary;
use tests::{Callee, Postgres, Process, RabbitMq, eventually, http, until_none_left};

const READY_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nothing may move.
const STUCK: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// 0.2.0.
    Old,
    /// This one.
    New,
}

/// One broker, one journal, one target, and processes of both versions.
struct Site {
    old: &'static Path,
    rabbit: &'static RabbitMq,
    prefix: String,
    journal: String,
    callee: Callee,
    client: reqwest::Client,
}

/// A running process.
struct Node {
    process: Process,
    address: SocketAddr,
}

impl Site {
    /// None where the tests are skipped; the reason is printed.
    #[expect(clippy::print_stdout, reason = "the reason of a skip is for people")]
    async fn prepare() -> Option<Self> {
        let old = tokio::task::spawn_blocking(binary_0_2_0).await.unwrap();
        let old = match old {
            Ok(old) => old,
            Err(reason) => {
                println!("SKIPPED: the upgrade from 0.2.0: {reason}");
                return None;
            }
        };
        Some(Self {
            old,
            rabbit: RabbitMq::shared().await,
            prefix: format!("t{}", uuid::Uuid::now_v7().simple()),
            journal: Postgres::shared().await.database().await,
            callee: Callee::start_with_full_log().await,
            client: http::client(),
        })
    }

    /// Starts a process of a role without waiting for it.
    fn spawn(&self, version: Version, role: &str) -> Node {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut environment: BTreeMap<String, String> = [
            ("BROKER__URL", self.rabbit.uri()),
            ("BROKER__PREFIX", self.prefix.clone()),
            ("JOURNAL__URL", self.journal.clone()),
            ("RETRY__SCHEDULE", "1s,1s,2s".to_owned()),
            ("GUARD__ALLOW", "127.0.0.0/8".to_owned()),
            ("LIMITS__BREAKER_MIN_CALLS", "0".to_owned()),
            ("BROKER__PUBLISH_TIMEOUT", "15s".to_owned()),
        ]
        .map(|(key, value)| (format!("RINGBACK__{key}"), value))
        .into();
        let listen = format!("RINGBACK__{}__LISTEN", role.to_uppercase());
        environment.insert(listen, address.to_string());
        let process = match version {
            Version::New => Process::start(binary(), &[role], environment),
            // It has no listener for metrics, and refuses a key that it does not know.
            Version::Old => {
                let program = self.old.to_str().unwrap();
                let arguments = ["-u", "RINGBACK__METRICS__LISTEN", program, role];
                Process::start(Path::new("env"), &arguments, environment)
            }
        };
        Node { process, address }
    }

    /// Starts a process of a role, and waits until it is ready.
    async fn start(&self, version: Version, role: &str) -> Node {
        let mut node = self.spawn(version, role);
        let what = format!("{version:?} {role} to be ready");
        eventually(&what, READY_TIMEOUT, async || {
            let ended = node.process.ended();
            assert_eq!(ended, None, "ended: {}", node.process.log());
            match self.get(&node, "/readyz").await? {
                (200, _) => Ok(()),
                (status, body) => Err(format!("{status} {body}")),
            }
        })
        .await;
        node
    }

    /// GETs a path of a process: status and body.
    async fn get(&self, node: &Node, path: &str) -> Result<(u16, String), String> {
        let words = |error: reqwest::Error| format!("{error:?}");
        let url = format!("http://{}{path}", node.address);
        let response = self.client.get(url).send().await.map_err(words)?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(words)?))
    }

    /// What a process says of a callback.
    async fn status(&self, node: &Node, id: &str) -> Result<String, String> {
        let (status, body) = self.get(node, &format!("/api/callback/{id}")).await?;
        let report: Value = serde_json::from_str(&body).unwrap_or_default();
        match (status, report["status"].as_str()) {
            (200, Some(found)) => Ok(found.to_owned()),
            _ => Err(format!("{id}: {status} {body}")),
        }
    }

    /// Waits until every accepted callback is delivered, and until each of these processes says so.
    async fn all_delivered(&self, answers: &[CallerAnswer], ingresses: &[&Node]) {
        let accepted: BTreeSet<&str> = accepted_ids(answers).collect();
        until_none_left("callbacks not yet delivered", STUCK, async || {
            let received = self.callee.requests.received();
            let delivered = received.iter().filter(|one| one.status == Some(200));
            let delivered: BTreeSet<&str> = delivered.filter_map(|one| one.id.as_deref()).collect();
            let missing: Vec<_> = accepted.difference(&delivered).collect();
            Ok((missing.len(), format!("{:?}", missing.first())))
        })
        .await;
        for ingress in ingresses {
            for id in &accepted {
                eventually("its record", STUCK, async || {
                    let status = self.status(ingress, id).await?;
                    (status == "delivered").then_some(()).ok_or(status)
                })
                .await;
            }
        }
    }
}

impl Node {
    /// Stops the process gracefully.
    async fn stop(mut self) {
        self.process.sigterm();
        let ended = self.process.wait_exit(STOP_TIMEOUT).await;
        assert_eq!(ended.code(), Some(0), "{}", self.process.log());
    }
}
