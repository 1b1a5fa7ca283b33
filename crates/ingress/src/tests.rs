//! Does the door keep the contract? On the embedded broker with its journal, over real connections;
//! the dispatcher's part is played by the tests.

mod keys;
mod queries;
mod waits;

use crate::server::{self, Door, Tools};
use actix_web::web;
use boot::settings::IngressSettings;
use boot::{Health, Live, Metrics};
use broker::{Broker, Consumer, Lane, Settlement, embedded};
use contract::{Message, Reply, ReplyCode};
use delivery::callers::Callers;
use delivery::{Guards, Parties};
use journal::{Journal, Recorder};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(40);
/// Between two looks at what is expected.
const AGAIN: Duration = Duration::from_millis(20);

/// A door in, what stands behind it, and the other side of the queue.
struct World {
    address: SocketAddr,
    door: web::Data<Door>,
    broker: Broker,
    journal: Journal,
    stop: CancellationToken,
    directory: PathBuf,
}

/// An answer as it came.
#[derive(Debug)]
struct Answered {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl World {
    async fn start() -> Self {
        Self::with(|_, _| ()).await
    }

    async fn with(change: impl FnOnce(&mut IngressSettings, &mut Tools)) -> Self {
        let name = format!("ringback-ingress-{}", Uuid::now_v7());
        let directory = std::env::temp_dir().join(name);
        let publish_timeout = Duration::from_secs(1);
        let broker = Broker::open(&embedded::Settings {
            directory: directory.clone(),
            publish_timeout: SOON,
        });
        let broker = broker.unwrap();
        let journal = Journal::open(&directory).unwrap();
        journal.migrate().await.unwrap();
        let recorder = Recorder::start(Arc::new(journal.clone()), 1_000);
        let mut settings = IngressSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 1,
            ..IngressSettings::default()
        };
        let health = Health::new();
        let mut tools = Tools {
            broker: broker.clone(),
            callers: Live::new(Callers::open()),
            parties: Live::new(Parties::new([]).unwrap()),
            guards: Live::new(Guards::default()),
            metrics: Arc::new(Metrics::new()),
            health: Arc::clone(&health),
            journal: Some(journal.clone()),
            recorder: Some(recorder),
            max_journal_backlog: 1_000,
            publish_timeout,
        };
        change(&mut settings, &mut tools);
        let stop = CancellationToken::new();
        let door = web::Data::new(Door::new(&settings, tools, stop.clone()));
        let (address, serving) =
            server::open(&settings, door.clone(), health, stop.clone()).unwrap();
        tokio::spawn(serving);
        Self {
            address,
            door,
            broker,
            journal,
            stop,
            directory,
        }
    }

    /// Sends a request on a connection of its own.
    async fn connect(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answered {
        let mut stream = self.connect(method, path, headers, body).await;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(SOON, read).await.unwrap().unwrap();
        Answered::read(&answer)
    }

    async fn post(&self, headers: &str, body: &str) -> Answered {
        self.ask("POST", "/api/callback", headers, body).await
    }

    async fn get(&self, id: impl ToString) -> Answered {
        let path = format!("/api/callback/{}", id.to_string());
        self.ask("GET", &path, "", "").await
    }

    async fn delete(&self, id: impl ToString) -> Answered {
        let path = format!("/api/callback/{}", id.to_string());
        self.ask("DELETE", &path, "", "").await
    }

    /// The next message of the lane of first attempts.
    async fn take(&self, lane: &mut Consumer) -> Message {
        let received = tokio::time::timeout(SOON, lane.next()).await.unwrap();
        let message = Message::decode(&received.body).unwrap();
        received.settle(Settlement::Done).await.unwrap();
        message
    }

    fn first(&self) -> Consumer {
        self.broker.consume(Lane::First, 10)
    }

    /// Plays the dispatcher's part at the end of a first attempt.
    fn reply(&self, message: &Message, code: ReplyCode) {
        let request_id = message.request_id;
        let reply = Reply { request_id, code }.encode();
        let address = message.reply_to.clone().unwrap();
        self.broker.reply(address, reply.into());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Answered {
    fn read(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            status: status.parse().unwrap(),
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    /// A text of the body, `""` where there is none.
    fn text(&self, name: &str) -> &str {
        let begin = format!("\"{name}\":\"");
        let rest = self.body.split_once(&begin).map(|(_, rest)| rest);
        rest.and_then(|it| it.split('"').next()).unwrap_or_default()
    }

    fn id(&self) -> Uuid {
        let id = self.text("request_id");
        id.parse().unwrap_or_else(|_| panic!("no id: {self:?}"))
    }

    fn summary(&self) -> (u16, &str) {
        (self.status, self.text("code"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A good request with these options.
fn callback(options: &str) -> String {
    format!(
        r#"{{"callback_url":"https://x.cn/a?t=1","app_id":"a","message_type":"m","request_message":{{}},"options":{options}}}"#
    )
}

/// Looks until it is there.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if tokio::time::Instant::now() > deadline => panic!("only {seen}"),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
