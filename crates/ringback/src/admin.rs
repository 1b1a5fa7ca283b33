//! How do operators look at callbacks, and mend what failed, over HTTP?
//!
//! A listener of its own (`admin.listen`), beside which two things go on: replays whose publisher
//! died are taken up, and the dead letters in the queue are swept after a replay. Start reading at
//! `routes.rs`; `docs/admin-api.md` is the reference, `docs/decisions/0008-*.md` the reason why.

pub(crate) mod asked;
mod door;
pub(crate) mod mend;
pub(crate) mod moment;
pub(crate) mod pauses;
mod refusal;
mod republish;
mod routes;
mod sweep;
pub(crate) mod view;
pub(crate) mod why;
mod wish;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use boot::SettingsError;
use boot::settings::AdminSettings;
use boot::{Live, health};
use broker::Broker;
use delivery::Parties;
use dispatcher::{Pauses, Targets};
use journal::Journal;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use door::Door;
use refusal::Refusal;
use sweep::Broom;

/// How long a stop waits for answers under way, in seconds: a replay of a thousand is one.
const LAST_ANSWERS_SECONDS: u64 = 10;

/// What the operators' API works with.
pub(crate) struct Tools {
    pub(crate) broker: Broker,
    /// None: every question is answered 501.
    pub(crate) journal: Option<Journal>,
    pub(crate) parties: Live<Parties>,
    /// How long the journal keeps what has ended (`journal.retention`).
    pub(crate) retention: Duration,
    pub(crate) pauses: Pauses,
    /// Of this process's own door out.
    pub(crate) targets: Targets,
}

/// What a request handler sees.
struct Desk {
    broker: Broker,
    journal: Option<Journal>,
    parties: Live<Parties>,
    pauses: Pauses,
    targets: Targets,
    /// Rung for a sweep.
    bell: Arc<Notify>,
    /// The process's own runtime: the server's end with it, and with them the connections made on
    /// them. And a client that goes away must not end a replay half-way.
    runtime: Handle,
}

impl Desk {
    fn journal(&self) -> Result<Journal, Refusal> {
        self.journal.clone().ok_or(Refusal::NoJournal)
    }

    /// Does a piece of work to its end, whether or not anybody waits for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.runtime.spawn(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "an operator's request broke off");
            Err(Refusal::Broken)
        })
    }
}

/// Checks what only the door can judge: the tokens' hashes.
///
/// # Errors
/// The first that is none.
pub(crate) fn check(settings: &AdminSettings) -> Result<(), SettingsError> {
    Door::new(settings).map(drop)
}

/// Opens the operators' listener: returns its address, and the future that serves until `stop` and
/// ends some seconds later at most. Call this inside a Tokio runtime.
///
/// # Errors
/// When the address cannot be listened on, or should not be, with a sentence naming it.
pub(crate) fn serve(
    settings: &AdminSettings,
    tools: Tools,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + 'static,
)> {
    let listen = settings.listen;
    let explain = |error: io::Error| health::cannot_listen(listen, &error);
    let door = Door::new(settings).map_err(io::Error::other)?;
    if door.is_open() && !listen.ip().is_loopback() {
        let open = "it is not loopback, and no admin.token is set";
        return Err(explain(io::Error::new(io::ErrorKind::InvalidInput, open)));
    }
    let listener = TcpListener::bind(listen).map_err(explain)?;
    let address = listener.local_addr()?;
    let Tools {
        broker,
        journal,
        parties,
        retention,
        pauses,
        targets,
    } = tools;
    let bell = Arc::new(Notify::new());
    let door = Data::new(door);
    let desk = Data::new(Desk {
        broker: broker.clone(),
        journal: journal.clone(),
        parties: parties.clone(),
        pauses,
        targets,
        bell: Arc::clone(&bell),
        runtime: Handle::current(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(door.clone())
            .app_data(desk.clone())
            .wrap(from_fn(door::admit))
            .configure(routes::routes)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(LAST_ANSWERS_SECONDS)
    .listen(listener)
    .map_err(explain)?
    .run();
    let handle = server.handle();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        handle.stop(true).await;
    });
    let serving = async move {
        let beside = async {
            let Some(journal) = journal else { return };
            let broom = Broom {
                broker: broker.clone(),
                journal: journal.clone(),
                parties,
                retention,
            };
            let take_up = republish::take_up(broker, journal, stop.clone());
            tokio::join!(take_up, broom.run(bell, stop.clone()));
        };
        let (mut server, mut beside) = (pin!(server), pin!(beside));
        tokio::select! {
            ended = &mut server => {
                if stop.is_cancelled() {
                    beside.await; // A sweep settles what it has in hand.
                }
                ended
            }
            () = &mut beside => server.await,
        }
    };
    Ok((address, serving))
}

#[cfg(test)]
mod tests;
