//! The operators' listener, and its background tasks: resuming interrupted replays and reconciling
//! dead letters.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::Data;
use actix_web::{App, Error, HttpMessage as _, HttpServer};
use runtime::http;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::auth::AdminAuth;
use super::dead_letters;
use super::reconcile::Reconciler;
use super::routes;
use super::state::{AdminDependencies, AdminState};
use crate::config::AdminConfig;

/// How long a stop waits for requests in progress, such as a replay of a thousand callbacks; seconds.
const SHUTDOWN_TIMEOUT_SECONDS: u64 = 10;

/// Opens the operators' listener: returns its address, and the future that serves until `stop` and
/// ends at most some seconds later. Call it inside a Tokio runtime.
///
/// # Errors
/// When the address cannot be bound, or needs a token, with a sentence that names it.
pub fn serve(
    config: &AdminConfig,
    dependencies: AdminDependencies,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + 'static,
)> {
    let listen = config.listen;
    let auth = AdminAuth::new(config).map_err(io::Error::other)?;
    if auth.is_open() && !listen.ip().is_loopback() {
        let reason = "it is not loopback, and no admin.token is set";
        let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
        return Err(http::cannot_listen(listen, &error));
    }
    let (listener, address) = http::listen(listen)?;
    let AdminDependencies {
        broker,
        journal,
        callee_registry,
        retention,
        pauses,
        targets,
    } = dependencies;
    let reconcile_requested = Arc::new(Notify::new());
    let auth = Data::new(auth);
    let state = Data::new(AdminState {
        broker: broker.clone(),
        journal: journal.clone(),
        callee_registry: callee_registry.clone(),
        pauses,
        targets,
        reconcile_requested: Arc::clone(&reconcile_requested),
        runtime: Handle::current(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(auth.clone())
            .app_data(state.clone())
            .wrap(from_fn(authorize))
            .configure(routes::configure)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_TIMEOUT_SECONDS)
    .listen(listener)?
    .run();
    let handle = server.handle();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        handle.stop(true).await;
    });
    let serving = async move {
        let background = async {
            let Some(journal) = journal else { return };
            let reconciler = Reconciler {
                broker: broker.clone(),
                journal: journal.clone(),
                callee_registry,
                retention,
            };
            let resume = dead_letters::resume_interrupted_replays(broker, journal, stop.clone());
            tokio::join!(resume, reconciler.run(reconcile_requested, stop.clone()));
        };
        let (mut server, mut background) = (pin!(server), pin!(background));
        tokio::select! {
            ended = &mut server => {
                if stop.is_cancelled() {
                    background.await; // Lets the reconciler settle the messages that it holds.
                }
                ended
            }
            () = &mut background => server.await,
        }
    };
    Ok((address, serving))
}

/// The middleware before every route, and before unknown ones.
async fn authorize(
    auth: Data<AdminAuth>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let method = request.method();
    let needed = routes::required_role(method, request.match_pattern().as_deref());
    let token_name = auth.authorize(method, request.headers(), needed)?;
    if let Some(token_name) = token_name {
        request.extensions_mut().insert(token_name);
    }
    next.call(request).await
}
