//! What does every role have, from its beginning to its end?

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use boot::settings::Settings;
use boot::{Health, Metrics, stop};
use broker::Broker;
use delivery::Guard;
use dispatcher::{AutoPause, Pauses, Targets};
use tokio_util::sync::CancellationToken;

use super::broker_watch::{Links, watch};
use crate::admin;
use crate::equipment::{self, Equipment};
use crate::failure::Failure;
use crate::records::{Place, Records};

/// What every role has: a broker that is connecting, a journal if there is one, and how the process
/// is seen.
pub(crate) struct Frame {
    pub(crate) equipment: Equipment,
    pub(crate) broker: Broker,
    /// Where what happened is told to.
    records: Option<Records>,
    /// Who is not to be called for now.
    pauses: Pauses,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    /// Cancelled by the first SIGTERM or SIGINT.
    pub(crate) stop: CancellationToken,
}

/// The operators' listener, open.
pub(crate) struct Operators {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    serving: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
}

impl Frame {
    /// Checks the settings, then begins: signals, the broker, the journal, and whoever watches them.
    /// A journal that the settings do not name lies in `directory`, if there is one.
    pub(crate) fn begin(
        settings: &Settings,
        role: &str,
        links: Links,
        directory: Option<&Path>,
    ) -> Result<Self, Failure> {
        let equipment = Equipment::check(settings)?;
        let place = Place::find(settings, directory)?;
        let stop = stop::on_signals()?;
        let broker = equipment::open(&settings.broker, role)?;
        let (metrics, health) = (Arc::new(Metrics::new()), Health::new());
        watch(&broker, links, Arc::clone(&health), Arc::clone(&metrics));
        let records = place
            .map(|place| Records::begin(&place, &settings.journal, &broker, &metrics))
            .transpose()?;
        if let Some(records) = &records {
            records.watch(Arc::clone(&health), Arc::clone(&metrics));
        }
        let auto = AutoPause {
            on_gone: settings.auto_pause.on_gone,
            after: settings.auto_pause.after,
        };
        let journal = records.as_ref().map(|it| it.journal.clone());
        Ok(Self {
            equipment,
            broker,
            records,
            pauses: Pauses::new(journal, auto),
            metrics,
            health,
            stop,
        })
    }

    /// What the door in works with.
    pub(crate) fn tools_in(&self, settings: &Settings, guard: Arc<Guard>) -> ingress::Tools {
        ingress::Tools {
            broker: self.broker.clone(),
            parties: Arc::clone(&self.equipment.parties),
            guard,
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            journal: self.records.as_ref().map(|it| it.journal.clone()),
            recorder: self.records.as_ref().map(|it| it.recorder.clone()),
            max_journal_backlog: settings.journal.max_backlog,
            publish_timeout: settings.broker.publish_timeout,
        }
    }

    /// What the door out works with.
    pub(crate) fn tools_out(&self, guard: Arc<Guard>) -> dispatcher::Tools {
        dispatcher::Tools {
            broker: self.broker.clone(),
            parties: Arc::clone(&self.equipment.parties),
            guard,
            schedule: self.equipment.schedule.clone(),
            metrics: Arc::clone(&self.metrics),
            journal: self.records.as_ref().map(|it| it.journal.clone()),
            recorder: self.records.as_ref().map(|it| it.recorder.clone()),
            pauses: self.pauses.clone(),
        }
    }

    /// Opens the operators' listener, which shows these targets.
    ///
    /// # Errors
    /// A port that is taken.
    pub(crate) fn operators(
        &self,
        settings: &Settings,
        targets: Targets,
    ) -> Result<Operators, Failure> {
        let tools = admin::Tools {
            broker: self.broker.clone(),
            journal: self.records.as_ref().map(|it| it.journal.clone()),
            parties: Arc::clone(&self.equipment.parties),
            retention: settings.journal.retention,
            pauses: self.pauses.clone(),
            targets,
        };
        let (address, serving) = admin::serve(&settings.admin, tools, self.stop.clone())?;
        Ok(Operators {
            address,
            serving: Box::pin(serving),
        })
    }

    /// Tends the journal until the stop: the queue on the way to it, and what is old in it.
    pub(crate) async fn tend(&self, settings: &Settings) {
        let stop = self.stop.clone();
        match &self.records {
            None => stop.cancelled().await,
            Some(records) => {
                let (broker, metrics) = (&self.broker, &self.metrics);
                records.tend(&settings.journal, broker, metrics, stop).await;
            }
        }
    }

    /// Lets journal and broker go, when nothing works with them any more.
    pub(crate) async fn close(&self) {
        if let Some(records) = &self.records {
            records.close().await;
        }
        self.broker.close().await;
    }
}

impl Operators {
    /// Serves operators until the frame is told to stop. Where it ends by itself, it stops the others.
    ///
    /// # Errors
    /// When it ended by itself.
    pub(crate) async fn run(self, frame: &Frame) -> Result<(), Failure> {
        let ended = self.serving.await;
        let told = frame.stop.is_cancelled();
        frame.stop.cancel();
        ended?;
        match told {
            true => Ok(()),
            false => Err(Failure::Found(
                "the operators' listener ended by itself".to_owned(),
            )),
        }
    }
}
