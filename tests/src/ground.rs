//! On what does a test's gateway stand? On the broker that this run has chosen, shared or alone.

use tokio::sync::{Mutex, MutexGuard};

use crate::kind::Kind;
use crate::{Rabbit, Spare};

/// What a gateway keeps its messages in.
#[derive(Debug, Clone, Copy)]
pub enum Ground<'a> {
    /// This node, under a prefix of the gateway's own.
    RabbitMq(&'a Rabbit),
    /// A data directory of the gateway's own.
    Embedded,
}

impl Ground<'static> {
    /// The ground that gateways share which hurt no broker.
    ///
    /// # Panics
    /// As [`Rabbit::start`].
    pub async fn shared() -> Self {
        match Kind::chosen() {
            Kind::RabbitMq => Self::RabbitMq(Rabbit::shared().await),
            Kind::Embedded => Self::Embedded,
        }
    }
}

impl<'a> From<&'a Rabbit> for Ground<'a> {
    fn from(rabbit: &'a Rabbit) -> Self {
        Self::RabbitMq(rabbit)
    }
}

impl<'a> From<&'a Spare> for Ground<'a> {
    fn from(spare: &'a Spare) -> Self {
        Self::RabbitMq(spare)
    }
}

/// The ground of one test at a time, for those that measure or make load.
#[derive(Debug)]
pub enum Turn {
    /// The spare node.
    RabbitMq(Spare),
    /// The machine's disk and cores, as far as the other tests that take turns go.
    Embedded(MutexGuard<'static, ()>),
}

impl Turn {
    /// Waits for its turn.
    ///
    /// # Panics
    /// As [`Rabbit::start`].
    pub async fn take() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        match Kind::chosen() {
            Kind::RabbitMq => Self::RabbitMq(Spare::take().await),
            Kind::Embedded => Self::Embedded(TURN.lock().await),
        }
    }
}

impl<'a> From<&'a Turn> for Ground<'a> {
    fn from(turn: &'a Turn) -> Self {
        match turn {
            Turn::RabbitMq(spare) => spare.into(),
            Turn::Embedded(_) => Self::Embedded,
        }
    }
}
