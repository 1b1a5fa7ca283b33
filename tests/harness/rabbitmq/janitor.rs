//! Deletes the queues of gateways that have ended.
//!
//! A quorum queue costs its node CPU as long as it exists, and a run makes thousands of them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

/// A node that is stopped or cut off never answers.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The queues of one gateway.
struct Litter {
    uri: String,
    queues: Vec<String>,
}

static JANITOR: LazyLock<Mutex<Sender<Litter>>> = LazyLock::new(|| {
    let (sender, receiver) = channel();
    thread::spawn(move || delete_all(&receiver));
    Mutex::new(sender)
});

/// Has these queues of the node at `uri` deleted, soon. It is no error if some or the node are gone.
pub(crate) fn delete_soon(uri: String, queues: Vec<String>) {
    let janitor = JANITOR.lock().unwrap_or_else(PoisonError::into_inner);
    // The thread lives as long as the process.
    let _ = janitor.send(Litter { uri, queues });
}

fn delete_all(litter: &Receiver<Litter>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    while let Ok(Litter { uri, queues }) = litter.recv() {
        // What cannot be deleted goes with its node.
        let _ = runtime.block_on(async { timeout(TIMEOUT, delete(&uri, &queues)).await });
    }
}

async fn delete(uri: &str, queues: &[String]) -> lapin::Result<()> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in queues {
        delete_one(&channel, queue).await?;
    }
    connection.close(200, "done".into()).await
}

async fn delete_one(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let options = QueueDeleteOptions::default();
    channel.queue_delete(queue.into(), options).await.map(drop)
}
