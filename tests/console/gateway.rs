//! A gateway: the real binary on the embedded store, at free ports of this machine.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::Process;
use crate::{directory, eventually};

/// The operators' token.
pub const TOKEN: &str = "token-of-the-operators-0123456789";

/// The settings, but for the directory.
const SETTINGS: &str = r#"
[ingress]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[auth]
mode = "open"
[guard]
allow = ["127.0.0.1"]
[retry]
schedule = "1s"
[log]
format = "json"
level = "info"
"#;

/// A running gateway.
pub struct Gateway {
    /// The operators' listener.
    pub console: String,
    /// The callers' listener.
    pub ingress: String,
    http: reqwest::Client,
    _process: Process,
}

impl Gateway {
    /// Starts `$RINGBACK_BIN`. Every operator has [`TOKEN`], or needs none.
    pub async fn start(needs_token: bool) -> Self {
        let settings = match needs_token {
            true => format!("token = \"{TOKEN}\"\n"),
            false => String::new(),
        };
        Self::start_with(&settings).await
    }

    /// Starts it with these lines in the section `admin`.
    pub async fn start_with(admin: &str) -> Self {
        let directory = directory("gateway");
        let file = directory.join("ringback.toml");
        let data = directory.join("data");
        let settings = format!(
            "[broker]\ndata_dir = {data:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n{admin}{SETTINGS}"
        );
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(std::env::var("RINGBACK_BIN").unwrap());
        command.arg("serve").arg("--config").arg(file);
        let (process, line) = Process::start(command, directory, "ringback is running").await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = |key: &str| format!("http://{}", line[key].as_str().unwrap());
        Self {
            console: address("admin"),
            ingress: address("address"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            _process: process,
        }
    }

    /// Sends a callback to a URL, and gives its id.
    pub async fn send(&self, app: &str, message_type: &str, url: &str) -> String {
        let body = json!({
            "app_id": app,
            "message_type": message_type,
            "callback_url": url,
            "request_message": {"text": "<script>window.hacked = 1</script>"},
        });
        self.post(body).await
    }

    /// Sends a callback to a registered callee, and gives its id.
    pub async fn send_to(&self, app: &str, message_type: &str, callee: &str) -> String {
        let body = json!({
            "app_id": app,
            "message_type": message_type,
            "callee_no": callee,
            "request_message": {"order": 4711},
        });
        self.post(body).await
    }

    async fn post(&self, body: Value) -> String {
        let sending = self
            .http
            .post(format!("{}/api/callback", self.ingress))
            .json(&body)
            .send();
        let answer: Value = sending.await.unwrap().json().await.unwrap();
        assert_eq!(answer["code"], "000", "{answer}");
        answer["request_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the callback has this status.
    pub async fn until(&self, id: &str, status: &str) {
        eventually(&format!("{id} is {status}"), || async {
            let url = format!("{}/api/callback/{id}", self.ingress);
            let answer: Value = self.http.get(url).send().await.ok()?.json().await.ok()?;
            (answer["status"] == status).then_some(())
        })
        .await;
    }
}
