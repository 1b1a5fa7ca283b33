//! One running process of a gateway.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::ports::free_port;
use crate::process::binary;
use crate::{Process, eventually};

/// How long a role may take from its start to its first `/readyz` 200.
const READY_TIMEOUT: Duration = Duration::from_secs(90);

/// What the processes of a gateway run.
#[derive(Debug)]
pub(super) struct Program {
    /// `None`: the binary under test.
    pub(super) binary: Option<PathBuf>,
    /// How many files each may have open; `None`: as many as the test itself.
    pub(super) open_files: Option<u32>,
}

/// A running process of the gateway and where it listens.
#[derive(Debug)]
pub struct Instance {
    /// The process.
    pub process: Process,
    /// Its own address on 127.0.0.1.
    pub address: SocketAddr,
    /// The address of the operators' API, also on 127.0.0.1; an ingress has none there.
    pub admin: SocketAddr,
    /// The address of its metrics and of the details of `/readyz`.
    pub metrics: SocketAddr,
    role: &'static str,
}

impl Instance {
    /// Starts the process of a role: `ingress`, `dispatcher`, `admin` or `serve`.
    pub(super) fn start(
        role: &'static str,
        address: SocketAddr,
        environment: &BTreeMap<String, String>,
        program: &Program,
    ) -> Self {
        let section = match role {
            "serve" => "ingress",
            "admin" | "recorder" => "dispatcher", // Where their health is.
            role => role,
        };
        let listen = format!("RINGBACK__{}__LISTEN", section.to_uppercase());
        let mut environment = environment.clone();
        environment.insert(listen, address.to_string());
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        environment.insert("RINGBACK__ADMIN__LISTEN".to_owned(), admin.to_string());
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        environment.insert("RINGBACK__METRICS__LISTEN".to_owned(), metrics.to_string());
        let path = program.binary.as_deref().unwrap_or_else(|| binary());
        Self {
            process: match program.open_files {
                None => Process::start(path, &[role], environment),
                Some(limit) => Process::start_with_files(limit, path, &[role], environment),
            },
            address,
            admin,
            metrics,
            role,
        }
    }

    /// Its role: `ingress`, `dispatcher`, `admin` or `serve`.
    pub fn role(&self) -> &'static str {
        self.role
    }

    pub(super) async fn wait_until_ready(&mut self, client: &reqwest::Client) {
        let what = format!("/readyz on {}", self.metrics);
        let ready = eventually(&what, READY_TIMEOUT, async || {
            if let Some(ended) = self.process.ended() {
                return Ok(Err(ended)); // It will not become ready.
            }
            match get(client, self.metrics, "/readyz").await? {
                (200, _) => Ok(Ok(())),
                (status, body) => Err(format!("{status} {body}")),
            }
        });
        if let Err(ended) = ready.await {
            panic!("ended before it was ready: {ended}");
        }
    }
}

pub(super) async fn get(
    client: &reqwest::Client,
    address: SocketAddr,
    path: &str,
) -> Result<(u16, String), String> {
    let words = |error: reqwest::Error| format!("{error:?}");
    let response = client
        .get(format!("http://{address}{path}"))
        .send()
        .await
        .map_err(words)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(words)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
