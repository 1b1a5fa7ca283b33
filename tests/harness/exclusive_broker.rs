//! A broker that one test at a time owns, for tests that harm it, measure it or put load on it.
//!
//! Starting a node takes some seconds, so these tests share one and take turns. Run at once, they
//! would also disturb each other's measurements.

use std::ops::Deref;

use tokio::sync::{Mutex, MutexGuard};

use crate::RabbitMq;
use crate::broker_under_test::{BrokerKind, BrokerUnderTest};

/// The RabbitMQ node that tests use in turn, held by one test.
#[derive(Debug)]
pub struct ExclusiveRabbitMq(MutexGuard<'static, Option<Node>>);

#[derive(Debug)]
struct Node {
    rabbitmq: RabbitMq,
    healthy: bool,
}

impl ExclusiveRabbitMq {
    /// Waits for the node, and restarts it if the test before has left it broken.
    ///
    /// # Panics
    /// When RabbitMQ does not start.
    pub async fn take() -> Self {
        static NODE: Mutex<Option<Node>> = Mutex::const_new(None);
        let mut held = NODE.lock().await;
        match &mut *held {
            Some(node) if !node.healthy => {
                node.rabbitmq.restart().await;
                node.healthy = true;
            }
            Some(_) => {}
            None => {
                *held = Some(Node {
                    rabbitmq: RabbitMq::start().await,
                    healthy: true,
                });
            }
        }
        Self(held)
    }
}

impl Deref for ExclusiveRabbitMq {
    type Target = RabbitMq;

    fn deref(&self) -> &RabbitMq {
        &self.0.as_ref().expect("set when taken").rabbitmq
    }
}

impl Drop for ExclusiveRabbitMq {
    fn drop(&mut self) {
        // A failed test may have left it dead or with an alarm.
        if std::thread::panicking()
            && let Some(node) = &mut *self.0
        {
            node.healthy = false;
        }
    }
}

impl<'a> From<&'a ExclusiveRabbitMq> for BrokerUnderTest<'a> {
    fn from(node: &'a ExclusiveRabbitMq) -> Self {
        Self::RabbitMq(node)
    }
}

/// The broker of this run, held by one test.
#[derive(Debug)]
pub enum ExclusiveBroker {
    /// The exclusive node.
    RabbitMq(ExclusiveRabbitMq),
    /// The machine's disk and cores, as far as other exclusive tests are concerned.
    Embedded(MutexGuard<'static, ()>),
}

impl ExclusiveBroker {
    /// Waits until no other test holds it.
    ///
    /// # Panics
    /// As [`RabbitMq::start`].
    pub async fn take() -> Self {
        static LOCK: Mutex<()> = Mutex::const_new(());
        match BrokerKind::chosen() {
            BrokerKind::RabbitMq => Self::RabbitMq(ExclusiveRabbitMq::take().await),
            BrokerKind::Embedded => Self::Embedded(LOCK.lock().await),
        }
    }
}

impl<'a> From<&'a ExclusiveBroker> for BrokerUnderTest<'a> {
    fn from(broker: &'a ExclusiveBroker) -> Self {
        match broker {
            ExclusiveBroker::RabbitMq(node) => node.into(),
            ExclusiveBroker::Embedded(_) => Self::Embedded,
        }
    }
}
