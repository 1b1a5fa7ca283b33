//! How is the door opened, and how is it closed without hurting anybody?

use crate::accept::accept;
use crate::body::Limits;
use crate::callers::Register;
use crate::head::{self, Connection};
use crate::query::{Records, query, withdraw};
use crate::waiting::Listening;
use crate::{reply, unread};
use actix_http::HttpService;
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpRequest, HttpResponse, web};
use boot::settings::{HttpStatus, IngressSettings};
use boot::{Health, Live, Metrics, health};
use broker::{Broker, Depths};
use contract::{Answer, Rules};
use delivery::callers::Callers;
use delivery::{Guards, Parties};
use journal::{Journal, Recorder};
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An idle connection is kept this long. Longer than the usual balancer's 60 s, so that the balancer
/// closes first and never writes a request into a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// So many connections wait to be accepted.
const BACKLOG: u32 = 1024;
/// To take the farewell of a connection.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What the door in works with.
#[derive(Clone)]
pub struct Tools {
    /// Where accepted callbacks are published.
    pub broker: Broker,
    /// Who may send callbacks.
    pub callers: Live<Callers>,
    /// The registry of parties.
    pub parties: Live<Parties>,
    /// Decides on callers' URLs, as far as they tell by themselves.
    pub guards: Live<Guards>,
    /// Counts what is accepted and refused.
    pub metrics: Arc<Metrics>,
    /// Says whether the process is ready.
    pub health: Arc<Health>,
    /// Where callbacks are asked for, withdrawn, and idempotency keys are kept; if there is one.
    pub journal: Option<Journal>,
    /// Where accepted callbacks are told to; there exactly when the journal is.
    pub recorder: Option<Recorder>,
    /// How many messages may wait in the journal's queue before new callbacks are answered 503.
    pub max_journal_backlog: u64,
    /// How long a publish may take.
    pub publish_timeout: Duration,
}

/// What a request handler sees.
pub(crate) struct Door {
    pub(crate) broker: Broker,
    pub(crate) depths: watch::Receiver<Depths>,
    pub(crate) register: Register,
    pub(crate) parties: Live<Parties>,
    pub(crate) guards: Live<Guards>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    pub(crate) http_status: HttpStatus,
    pub(crate) max_backlog: u64,
    pub(crate) max_journal_backlog: u64,
    pub(crate) publish_timeout: Duration,
    /// How long callers wait for the first attempt who do not say.
    pub(crate) default_wait: Duration,
    pub(crate) max_wait: Duration,
    pub(crate) listening: Listening,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) records: Option<Records>,
    /// Whoever waits is let go when the process is to stop.
    pub(crate) stop: CancellationToken,
}

impl Door {
    /// Runs within a tokio runtime.
    pub(crate) fn new(settings: &IngressSettings, tools: Tools, stop: CancellationToken) -> Self {
        let Tools {
            broker,
            callers,
            parties,
            guards,
            metrics,
            health: _,
            journal,
            recorder,
            max_journal_backlog,
            publish_timeout,
        } = tools;
        Self {
            depths: broker.depths(),
            listening: Listening::start(&broker),
            records: journal.map(|journal| Records::start(journal, &broker)),
            recorder,
            broker,
            register: Register::new(callers, Arc::clone(&metrics)),
            parties,
            guards,
            metrics,
            rules: Rules {
                accept_blank_message_type: settings.accept_blank_message_type,
            },
            limits: Limits {
                bytes: settings.body_limit_bytes,
                time: settings.body_timeout,
            },
            http_status: settings.http_status,
            max_backlog: settings.max_backlog,
            max_journal_backlog,
            publish_timeout,
            default_wait: settings.default_wait,
            max_wait: settings.max_wait,
            stop,
        }
    }
}

/// Who answers where.
pub(crate) fn paths(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/callback")
                .route(web::post().to(accept))
                .default_service(web::to(only_post)),
        )
        .service(
            web::resource("/api/callback/{request_id}")
                .route(web::get().to(query))
                .route(web::delete().to(withdraw))
                .default_service(web::to(only_get_and_delete)),
        )
        .default_service(web::to(not_found));
}

/// Opens the door: returns the address it listens on, and the future that serves until `stop`.
///
/// On `stop` the process says that it is draining, takes no new connection, and requests under way
/// finish within the grace.
///
/// # Errors
/// When the address cannot be listened on, with a sentence naming it.
pub fn serve(
    settings: &IngressSettings,
    tools: Tools,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + 'static,
)> {
    let health = Arc::clone(&tools.health);
    let door = web::Data::new(Door::new(settings, tools, stop.clone()));
    open(settings, door, health, stop)
}

pub(crate) fn open(
    settings: &IngressSettings,
    door: web::Data<Door>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + 'static,
)> {
    let listener =
        listen(settings.listen).map_err(|error| health::cannot_listen(settings.listen, &error))?;
    let address = listener.local_addr()?;
    let routes = health::routes(Arc::clone(&door.metrics), Arc::clone(&health));
    let stopping = stop.clone();
    // What `HttpServer` does, which serves nothing but bare TCP streams.
    let service = move || {
        let app = App::new()
            .app_data(door.clone())
            .wrap(from_fn(unread::hold))
            .configure(paths)
            .configure(routes.clone());
        let stopping = stopping.clone();
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(head::WITHIN)
            .client_disconnect_timeout(DISCONNECT_WITHIN)
            // A caller that hangs up is not waited for.
            .h1_allow_half_closed(false)
            .graceful_shutdown_signal(move || stopping.clone().cancelled_owned())
            .on_connect_ext(|it: &Connection, known| {
                known.insert(it.progress());
            })
            .h1(map_config(app, |()| AppConfig::default()));
        fn_service(|stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            ready(Ok((Connection::new(stream), peer)))
        })
        .and_then(http)
    };
    let mut server = Server::build()
        .shutdown_timeout(settings.grace.as_secs())
        .disable_signals();
    if settings.workers > 0 {
        server = server.workers(settings.workers);
    }
    let server = server.listen("ingress", listener, service)?;
    let running = server.run();
    let handle = running.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        health.begin_draining();
        handle.stop(true).await;
    });
    Ok((address, running))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // The port of a process that has just ended can be taken.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

async fn not_found(door: web::Data<Door>, http: HttpRequest) -> HttpResponse {
    turn_away(&door, &http, &Answer::NotFound)
}

async fn only_post(door: web::Data<Door>, http: HttpRequest) -> HttpResponse {
    method_not_allowed(&door, &http, "POST")
}

async fn only_get_and_delete(door: web::Data<Door>, http: HttpRequest) -> HttpResponse {
    method_not_allowed(&door, &http, "GET, DELETE")
}

fn method_not_allowed(door: &Door, http: &HttpRequest, allow: &'static str) -> HttpResponse {
    let mut response = turn_away(door, http, &Answer::MethodNotAllowed);
    let allow = HeaderValue::from_static(allow);
    response.headers_mut().insert(ALLOW, allow);
    response
}

fn turn_away(door: &Door, http: &HttpRequest, answer: &Answer) -> HttpResponse {
    door.metrics.refused(answer.code());
    door.reply(answer, None, reply::language(http))
}
