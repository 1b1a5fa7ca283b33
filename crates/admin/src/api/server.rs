//! The operators' listener, and its background tasks: resuming interrupted publishes and reconciling
//! dead letters.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::Data;
use actix_web::{App, Error, HttpMessage as _};
use runtime::http::{self, Audience, ServeOptions, hold_body};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::access::OperatorAccess;
use super::api_docs;
use super::auth::AdminTokens;
use super::compress::compress_large;
use super::doctor::history::DepthHistory;
use super::error::ApiError;
use super::operations::registry::Operations;
use super::reconcile::{ReconcileRequests, Reconciler};
use super::republish::resume_interrupted;
use super::routes;
use super::state::{AdminDependencies, AdminState};
use crate::config::AdminConfig;
use crate::console::{self, LiveWatchers};
use crate::shown::ShownToOperators;

/// How long a stop waits for requests in progress, such as a replay of a thousand callbacks.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an operator's client may take to send a body, at most 128 KiB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

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
    let tokens = AdminTokens::new(config).map_err(io::Error::other)?;
    if tokens.is_open() && !listen.ip().is_loopback() {
        let reason = "it is not loopback, and no admin.token is set";
        let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
        return Err(http::cannot_listen(listen, &error));
    }
    if let Some(reason) = config.weak_token() {
        let error = io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("admin.token: {reason}"),
        );
        return Err(http::cannot_listen(listen, &error));
    }
    dependencies.tokens.set(tokens);
    let (listener, address) = http::listen(listen)?;
    let AdminDependencies {
        broker,
        journal,
        callee_registry,
        retention,
        dead_letter_retention,
        pauses,
        control,
        has_ingress,
        doctor,
        guard_rules,
        http: limits,
        metrics,
        tokens,
        settings,
    } = dependencies;
    let reconcile_requested = Arc::new(ReconcileRequests::default());
    let depth_history = DepthHistory::default();
    let watching = depth_history.clone().watch(broker.depths(), stop.clone());
    tokio::spawn(watching);
    let auth = Data::new(OperatorAccess::new(tokens, limits.clone(), metrics.clone()));
    let operations = Operations::new(stop.clone());
    let state = Data::new(AdminState {
        broker: broker.clone(),
        journal: journal.clone(),
        callee_registry: callee_registry.clone(),
        pauses,
        control: control.clone(),
        has_ingress,
        unreadable: Arc::default(),
        doctor,
        guard_rules,
        depth_history,
        reconcile_requested: Arc::clone(&reconcile_requested),
        operations: operations.clone(),
        settings,
        shown: ShownToOperators {
            trace_url: config.trace_url.clone(),
            masks: config.payload_masks.clone(),
        },
        runtime: Handle::current(),
    });
    let watchers = Data::new(LiveWatchers::new(stop.clone()));
    let has_page = config.api_page;
    let app = move || {
        App::new()
            .app_data(auth.clone())
            .app_data(state.clone())
            .app_data(watchers.clone())
            .wrap(from_fn(authorize))
            .wrap(from_fn(compress_large))
            .wrap(from_fn(hold_body))
            .configure(console::configure)
            .configure(|service| api_docs::configure(service, has_page))
            .configure(routes::configure)
    };
    let options = ServeOptions {
        name: "admin",
        audience: Audience::Operators,
        body_timeout: Some(BODY_TIMEOUT),
        workers: 1,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
    };
    let server = http::serve(listener, options, &limits, stop.clone(), app)?;
    let handle = server.handle();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        handle.stop(true).await;
    });
    let serving = async move {
        let background = async {
            let follow = control.follow(|spread| metrics.set_clock_spread(spread));
            let follow = stop.run_until_cancelled(follow);
            let Some(journal) = journal else {
                follow.await;
                return;
            };
            let reconciler = Reconciler {
                broker: broker.clone(),
                journal: journal.clone(),
                callee_registry,
                retention,
                dead_letter_retention,
            };
            let resume = resume_interrupted(broker, journal, stop.clone());
            let reconcile = reconciler.run(reconcile_requested, stop.clone());
            tokio::join!(follow, resume, reconcile);
        };
        serve_all(server, background, operations.finished(), &stop).await
    };
    Ok((address, serving))
}

/// Serves until the listener ends. After a stop, waits for the steps of operations and for what runs in the
/// background, whichever of the three ends first.
async fn serve_all(
    server: impl Future<Output = io::Result<()>>,
    background: impl Future<Output = ()>,
    operations_finished: impl Future<Output = ()>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let (mut server, mut background) = (pin!(server), pin!(background));
    let (ended, runs_in_background) = tokio::select! {
        ended = &mut server => (ended, true),
        () = &mut background => (server.await, false),
    };
    if stop.is_cancelled() {
        operations_finished.await;
        if runs_in_background {
            background.await; // Lets the reconciler settle the messages that it holds.
        }
    }
    ended
}

/// The middleware before every route of the API, and before unknown ones.
async fn authorize(
    access: Data<OperatorAccess>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    if console::owns(request.path()) || api_docs::owns(request.path()) {
        // The pages of the console have a guard of their own.
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let method = request.method();
    let pattern = request.match_pattern();
    let needed = routes::required_role(method, pattern.as_deref());
    let is_supported = routes::is_supported(method, pattern.as_deref());
    let peer = request.peer_addr().map(|peer| peer.ip());
    match access
        .authorize(method, request.headers(), needed, peer)
        .await
    {
        Ok(token_name) => {
            if let Some(token_name) = token_name {
                request.extensions_mut().insert(token_name);
            }
            Ok(next.call(request).await?.map_into_left_body())
        }
        // What the path does not support is no matter of the body.
        Err(ApiError::NotJson) if !is_supported => {
            Ok(next.call(request).await?.map_into_left_body())
        }
        // A response, not an error: the middleware around this one must see it.
        Err(error) => Ok(request.error_response(error).map_into_right_body()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_operations_whatever_ends_first() {
        for background_ends_first in [true, false] {
            let stop = CancellationToken::new();
            stop.cancel();
            let waited = AtomicU8::new(0);
            let later = |is_later: bool| async move {
                if is_later {
                    tokio::task::yield_now().await;
                }
            };
            let server = async {
                later(background_ends_first).await;
                Ok(())
            };
            let background = later(!background_ends_first);
            let finished = async {
                waited.fetch_add(1, Ordering::Relaxed);
            };
            serve_all(server, background, finished, &stop)
                .await
                .unwrap();
            assert_eq!(waited.load(Ordering::Relaxed), 1, "{background_ends_first}");
        }
        let running = CancellationToken::new();
        let failed = Err(io::Error::other("the listener is gone"));
        let never = std::future::pending::<()>();
        let ended = serve_all(ready(failed), never, std::future::pending(), &running).await;
        assert!(ended.is_err());
    }
}
