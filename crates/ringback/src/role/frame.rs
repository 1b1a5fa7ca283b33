//! What does every role have, from its beginning to its end?

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use boot::reload::Commit;
use boot::settings::{Settings, SettingsError};
use boot::{Health, Live, Loaded, Metrics, Reload, stop};
use broker::Broker;
use delivery::callers::Callers;
use delivery::{Entry, Guards, Parties};
use dispatcher::{AutoPause, Pauses, Policies, Targets};
use tokio_util::sync::CancellationToken;

use super::broker_watch::{Links, watch};
use crate::admin;
use crate::equipment::{self, Equipment};
use crate::failure::Failure;
use crate::records::{Place, Records};

/// What a reload can change: sections, and keys. All else needs a restart.
const LIVE: &[&str] = &[
    "apps",
    "auth",
    "callees",
    "dispatcher.attempt_timeout",
    "dispatcher.ca_file",
    "guard",
    "limits",
    "retry",
];

/// What every role has: a broker that is connecting, a journal if there is one, and how the process
/// is seen.
pub(crate) struct Frame {
    pub(crate) equipment: Equipment,
    /// The registry of parties, as it is now.
    parties: Live<Parties>,
    /// Told what follows from new settings, until the role begins to follow them.
    reload: Option<Reload>,
    /// What the process opens of the guard by itself.
    opened: Vec<Entry>,
    pub(crate) broker: Broker,
    /// Who may send callbacks; nobody in a role without the door in.
    callers: Live<Callers>,
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
        loaded: &Loaded,
        role: &str,
        links: Links,
        directory: Option<&Path>,
    ) -> Result<Self, Failure> {
        let settings = &loaded.settings;
        let equipment = Equipment::check(settings)?;
        let has_door_in = matches!(role, "ingress" | "serve" | "dev");
        let callers = match has_door_in {
            true => equipment::callers(settings, role)?,
            false => Callers::open(),
        };
        let callers = Live::new(callers);
        let place = Place::find(settings, directory)?;
        let stop = stop::on_signals()?;
        // A terminal that is closed must end what somebody tries out in it.
        let mut reload = Reload::new(loaded, LIVE, role != "dev")?;
        if has_door_in {
            let (live, role) = (callers.clone(), role.to_owned());
            reload.tell(move |settings| {
                let (live, new) = (live.clone(), equipment::callers(settings, &role)?);
                Ok(Box::new(move || live.set(new)))
            });
        }
        let parties = Live::new(Arc::clone(&equipment.parties));
        let live = parties.clone();
        reload.tell(move |settings| {
            let (live, new) = (live.clone(), Equipment::check(settings)?.parties);
            Ok(Box::new(move || live.set(new)))
        });
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
            parties,
            reload: Some(reload),
            opened: Vec::new(),
            broker,
            callers,
            records,
            pauses: Pauses::new(journal, auto),
            metrics,
            health,
            stop,
        })
    }

    /// The address guards, with `more` openings beside those of the settings.
    pub(crate) fn guards(&mut self, more: Vec<Entry>) -> Live<Guards> {
        let guards = Live::new(self.equipment.guards(&more));
        self.opened.clone_from(&more);
        let live = guards.clone();
        self.tell(move |settings| {
            let guards = Equipment::check(settings)?.guards(&more);
            let live = live.clone();
            Ok(Box::new(move || live.set(guards)))
        });
        guards
    }

    /// Lets the door out follow from new settings.
    pub(crate) fn hand_out(&mut self, policies: Policies) {
        let opened = self.opened.clone();
        self.tell(move |settings| {
            let new = Equipment::check(settings)?;
            let guards = new.guards(&opened);
            let (policy, live) = (
                policies.prepare(settings, new.parties, &guards)?,
                policies.clone(),
            );
            Ok(Box::new(move || live.set(policy)))
        });
    }

    /// Adds what must agree to new settings, and follows from them.
    pub(crate) fn tell(
        &mut self,
        user: impl Fn(&Settings) -> Result<Commit, SettingsError> + Send + 'static,
    ) {
        if let Some(reload) = &mut self.reload {
            reload.tell(user);
        }
    }

    /// Follows the settings from now on until the stop; call it when all users are told.
    pub(crate) fn follow(&mut self) {
        if let Some(reload) = self.reload.take() {
            tokio::spawn(reload.run(Arc::clone(&self.metrics), self.stop.clone()));
        }
    }

    /// What the door in works with.
    pub(crate) fn tools_in(&self, settings: &Settings, guards: Live<Guards>) -> ingress::Tools {
        ingress::Tools {
            broker: self.broker.clone(),
            callers: self.callers.clone(),
            parties: self.parties.clone(),
            guards,
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            journal: self.records.as_ref().map(|it| it.journal.clone()),
            recorder: self.records.as_ref().map(|it| it.recorder.clone()),
            max_journal_backlog: settings.journal.max_backlog,
            publish_timeout: settings.broker.publish_timeout,
        }
    }

    /// What the door out works with.
    pub(crate) fn tools_out(&self, guards: &Live<Guards>) -> dispatcher::Tools {
        dispatcher::Tools {
            broker: self.broker.clone(),
            parties: self.parties.get(),
            guards: guards.get(),
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
            parties: self.parties.clone(),
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
