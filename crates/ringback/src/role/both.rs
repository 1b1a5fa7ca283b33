//! How do both doors run in one process?

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use boot::Live;
use boot::settings::Settings;
use delivery::Guards;
use dispatcher::Dispatcher;

use super::frame::Operators;
use super::{Frame, stopped};
use crate::failure::Failure;

/// Both doors, open. Health and metrics of both are on the door in.
pub(crate) struct Doors {
    /// Where the door in listens.
    pub(crate) address: SocketAddr,
    ingress: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
    dispatcher: Dispatcher,
    pub(crate) operators: Operators,
}

/// Builds the door out and opens the door in, and the operators' listener.
///
/// # Errors
/// A client that cannot be built, or a port that is taken.
pub(crate) fn open(
    frame: &mut Frame,
    settings: &Settings,
    guards: &Live<Guards>,
) -> Result<Doors, Failure> {
    let tools = frame.tools_out(guards);
    let dispatcher = Dispatcher::new(settings, tools)?;
    frame.hand_out(dispatcher.policies());
    let tools = frame.tools_in(settings, guards.clone());
    let (address, ingress) = ingress::serve(&settings.ingress, tools, frame.stop.clone())?;
    let targets = dispatcher.targets();
    Ok(Doors {
        address,
        ingress: Box::pin(ingress),
        dispatcher,
        operators: frame.operators(settings, targets)?,
    })
}

impl Doors {
    /// Serves until the frame is told to stop, and both doors have closed gracefully.
    ///
    /// # Errors
    /// When the door in, or the operators' listener, ended by itself.
    pub(crate) async fn until_stopped(
        self,
        frame: &Frame,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let ingress = async {
            let ended = self.ingress.await;
            let told = frame.stop.is_cancelled();
            // Where one door closes by itself, the other must not stay open.
            frame.stop.cancel();
            ended.map(|()| told)
        };
        let (told, operators, (), ()) = tokio::join!(
            ingress,
            self.operators.run(frame),
            self.dispatcher.run(frame.stop.clone()),
            frame.tend(settings)
        );
        if !told? {
            return stopped("ingress", false);
        }
        operators
    }
}
