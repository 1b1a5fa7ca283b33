//! Which broker does this run of the tests put under its gateways?

use std::sync::LazyLock;

/// The variable that says it: `rabbitmq`, as when it is absent, or `embedded`.
pub const VARIABLE: &str = "RINGBACK_E2E_BROKER";

/// The kind of broker under a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RabbitMQ, with `ringback ingress` and `ringback dispatcher`.
    RabbitMq,
    /// The embedded store, with `ringback serve`.
    Embedded,
}

impl Kind {
    /// The kind of this run.
    ///
    /// # Panics
    /// When the variable holds anything else: a slip must not test the other broker.
    pub fn chosen() -> Self {
        static CHOSEN: LazyLock<Kind> = LazyLock::new(|| {
            let said = std::env::var_os(VARIABLE);
            match said.as_ref().map(|said| said.to_str()) {
                None | Some(Some("rabbitmq")) => Kind::RabbitMq,
                Some(Some("embedded")) => Kind::Embedded,
                Some(_) => panic!("{VARIABLE} is rabbitmq or embedded, not {said:?}"),
            }
        });
        *CHOSEN
    }

    /// Ends a test that is about RabbitMQ itself in a run that is not.
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
