//! The broker that this run of the tests puts under its gateways: RabbitMQ or the embedded store.

use std::sync::LazyLock;

use crate::RabbitMq;

/// Chooses the broker: `rabbitmq` (the default) or `embedded`.
pub const VARIABLE: &str = "RINGBACK_E2E_BROKER";

/// The kind of broker under a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// RabbitMQ, with `ringback ingress` and `ringback dispatcher`.
    RabbitMq,
    /// The embedded store, with `ringback serve`.
    Embedded,
}

impl BrokerKind {
    /// The kind that this run has chosen.
    ///
    /// # Panics
    /// When the variable holds anything else: a typo must not test the other broker.
    pub fn chosen() -> Self {
        static CHOSEN: LazyLock<BrokerKind> = LazyLock::new(|| {
            let value = std::env::var_os(VARIABLE);
            match value.as_ref().map(|value| value.to_str()) {
                None | Some(Some("rabbitmq")) => BrokerKind::RabbitMq,
                Some(Some("embedded")) => BrokerKind::Embedded,
                Some(_) => panic!("{VARIABLE} must be rabbitmq or embedded, not {value:?}"),
            }
        });
        *CHOSEN
    }

    /// Fails a test about RabbitMQ itself in a run on the embedded store.
    ///
    /// # Panics
    /// In a run on the embedded store.
    pub fn must_be_rabbitmq() {
        assert_eq!(
            Self::chosen(),
            Self::RabbitMq,
            "this test is about RabbitMQ itself: skip it where {VARIABLE}=embedded, as tests/run does"
        );
    }
}

/// What a gateway keeps its messages in.
#[derive(Debug, Clone, Copy)]
pub enum BrokerUnderTest<'a> {
    /// This node, under a prefix of the gateway's own.
    RabbitMq(&'a RabbitMq),
    /// A data directory of the gateway's own.
    Embedded,
}

impl BrokerUnderTest<'static> {
    /// The broker for gateways whose tests do it no harm.
    ///
    /// # Panics
    /// As [`RabbitMq::start`].
    pub async fn shared() -> Self {
        match BrokerKind::chosen() {
            BrokerKind::RabbitMq => Self::RabbitMq(RabbitMq::shared().await),
            BrokerKind::Embedded => Self::Embedded,
        }
    }
}

impl<'a> From<&'a RabbitMq> for BrokerUnderTest<'a> {
    fn from(rabbitmq: &'a RabbitMq) -> Self {
        Self::RabbitMq(rabbitmq)
    }
}
