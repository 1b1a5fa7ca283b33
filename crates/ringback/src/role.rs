//! How does a process run one role from its start to its graceful stop?

pub(crate) mod both;
mod broker_watch;
mod frame;
mod page;

use std::net::SocketAddr;

use boot::settings::{AuthMode, Settings};
use boot::{Loaded, health, stop};
use dispatcher::Dispatcher;

use crate::equipment;
use crate::failure::Failure;
use crate::records::Place;
use crate::say::say;
pub(crate) use broker_watch::Links;
pub(crate) use frame::Frame;
use page::Page;

/// `ringback ingress`.
///
/// # Errors
/// Settings that cannot be used, a port that is taken, or a server that ended by itself.
pub(crate) async fn ingress(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    equipment::shared_broker(&settings.broker, "ingress")?;
    let mut frame = Frame::begin(loaded, "ingress", Links::Publishing, None)?;
    say_if_open(settings);
    let guards = frame.guards(Vec::new());
    let tools = frame.tools_in(settings, guards);
    let (address, serving) = ingress::serve(&settings.ingress, tools, frame.stop.clone())?;
    frame.follow();
    let effective = settings.to_toml_redacted();
    tracing::info!(%address, settings = effective, "ingress listens");
    // Ends when the last request is answered: only then may journal and broker go.
    serving.await?;
    frame.close().await;
    stopped("ingress", frame.stop.is_cancelled())
}

/// `ringback dispatcher`.
///
/// # Errors
/// Settings that cannot be used, a port that is taken, a client that cannot be built, or a part
/// that ended by itself.
pub(crate) async fn dispatcher(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    equipment::shared_broker(&settings.broker, "dispatcher")?;
    let mut frame = Frame::begin(loaded, "dispatcher", Links::Both, None)?;
    let guards = frame.guards(Vec::new());
    let tools = frame.tools_out(&guards);
    let dispatcher = Dispatcher::new(settings, tools)?;
    frame.hand_out(dispatcher.policies());
    let operators = frame.operators(settings, dispatcher.targets())?;
    let mut page = Page::open(settings.dispatcher.listen, &frame)?;
    frame.follow();
    let (address, effective) = (page.address, settings.to_toml_redacted());
    tracing::info!(
        %address, operators = %operators.address, settings = effective,
        "dispatcher works; health and metrics listen"
    );
    let work = async {
        let run = dispatcher.run(frame.stop.clone());
        let (ended, (), ()) = tokio::join!(operators.run(&frame), run, frame.tend(settings));
        ended
    };
    page.beside(work).await?;
    frame.close().await;
    page.close().await?;
    stopped("dispatcher", frame.stop.is_cancelled())
}

/// `ringback recorder`.
///
/// # Errors
/// Settings that cannot be used or name no journal, a port that is taken, or a part that ended by
/// itself.
pub(crate) async fn recorder(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    equipment::shared_broker(&settings.broker, "recorder")?;
    equipment::shared_journal(settings, "recorder")?;
    let mut frame = Frame::begin(loaded, "recorder", Links::Both, None)?;
    let mut page = Page::open(settings.dispatcher.listen, &frame)?;
    frame.follow();
    let (address, effective) = (page.address, settings.to_toml_redacted());
    tracing::info!(%address, settings = effective, "recorder works; health and metrics listen");
    let work = async {
        frame.tend(settings).await;
        Ok(())
    };
    page.beside(work).await?;
    frame.close().await;
    page.close().await?;
    stopped("recorder", frame.stop.is_cancelled())
}

/// `ringback migrate`.
///
/// # Errors
/// Settings that name no journal, or a database that cannot be reached or changed.
pub(crate) async fn migrate(settings: &Settings) -> Result<(), Failure> {
    equipment::shared_journal(settings, "migrate")?;
    let Some(place) = Place::find(settings, None)? else {
        return Ok(()); // Refused just before.
    };
    let journal = place.open()?;
    let migrated = journal.migrate().await;
    journal.close().await;
    migrated.map_err(|error| Failure::Found(error.to_string()))?;
    Ok(say("the journal's tables are as this version needs them")?)
}

/// `ringback serve`.
///
/// # Errors
/// Settings that cannot be used, a data directory that another process uses, a port that is taken,
/// or a part that ended by itself.
pub(crate) async fn serve(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    equipment::own_store(&settings.broker)?;
    let mut frame = Frame::begin(loaded, "serve", Links::Both, None)?;
    say_if_open(settings);
    let guards = frame.guards(Vec::new());
    let doors = both::open(&mut frame, settings, &guards)?;
    frame.follow();
    tracing::info!(
        address = %doors.address, operators = %doors.operators.address,
        settings = settings.to_toml_redacted(),
        "ringback serves"
    );
    doors.until_stopped(&frame, settings).await?;
    frame.close().await;
    stopped("serve", true)
}

/// `ringback callee`.
///
/// # Errors
/// A port that is taken, or a server that ended by itself.
pub(crate) async fn callee(listen: SocketAddr) -> Result<(), Failure> {
    let stop = stop::on_signals()?;
    let (address, serving) = crate::callee::serve(listen, stop.clone())
        .map_err(|error| health::cannot_listen(listen, &error))?;
    say(&format!(
        "practice callee on http://{address}; what came in: curl http://{address}/received"
    ))?;
    serving.await?;
    stopped("callee", stop.is_cancelled())
}

/// Whoever chose it knows; whoever comes after should too.
fn say_if_open(settings: &Settings) {
    if settings.auth.mode == Some(AuthMode::Open) {
        tracing::warn!("auth.mode is open: everybody who reaches the port is believed");
    }
}

/// A role ends well only because it was told to.
pub(crate) fn stopped(role: &'static str, told: bool) -> Result<(), Failure> {
    if !told {
        return Err(Failure::Found(format!("{role} ended by itself")));
    }
    tracing::info!(role, "stopped");
    Ok(())
}
