//! A process whose standard error is closed goes on and stops gracefully.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tests::ports::free_port;
use tests::process::binary;
use tests::{eventually, http};

const SOON: Duration = Duration::from_secs(60);

/// Kills the process at the end of the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_closed_stderr_prevents_neither_delivery_nor_a_graceful_stop() {
    let [listen, callee] =
        [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)).to_string());
    let mut command = Command::new(binary());
    command.args(["dev", "--listen", &listen, "--callee-listen", &callee]);
    command.env_remove("RINGBACK__BROKER__URL");
    // The default port may be in use on this machine.
    command.env("RINGBACK__ADMIN__LISTEN", "127.0.0.1:0");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Killed(command.spawn().unwrap());
    drop(process.0.stderr.take());

    let client = http::client();
    let request = json!({
        "callback_url": format!("http://{callee}/ok"),
        "app_id": "app",
        "message_type": "type",
        "request_message": {},
    });
    eventually("the callback to be accepted", SOON, async || {
        let sent = client
            .post(format!("http://{listen}/api/callback"))
            .header("content-type", "application/json")
            .body(request.to_string())
            .send();
        let answer = sent.await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        if status == 200 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    eventually("the callee to have it", SOON, async || {
        let count = client.get(format!("http://{callee}/received/count")).send();
        let text = count.await.map_err(|error| error.to_string())?.text().await;
        let text = text.map_err(|error| error.to_string())?;
        if text.trim_end() == r#"{"count":1}"# {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;

    let pid = process.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = eventually("the process to stop", SOON, async || {
        process.0.try_wait().unwrap()
    })
    .await;
    assert!(ended.success(), "{ended}");
}
