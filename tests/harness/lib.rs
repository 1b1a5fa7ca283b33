//! Test harness: runs the real binary against a private RabbitMQ, PostgreSQL and scripted targets.
//!
//! Everything a test starts belongs to that test: free ports, a temporary directory, and a reaper
//! process that cleans up even when the test process is killed (see [`cleanup`]).
//!
//! The gateway and its surroundings:
//! - [`gateway`]: one gateway, its processes, its API and its queues
//! - [`shared_gateway`]: a gateway that several tests share
//! - [`scenario`]: a whole run with many callers, checked against the ledger at the end
//! - [`rabbitmq`], [`postgres`], [`dns`]: private servers
//! - [`broker_under_test`], [`exclusive_broker`]: the broker that this run has chosen
//! - [`fault_proxy`]: a network connection that stalls or breaks
//! - [`tls_certs`]: certificate authorities and certificates
//! - [`monitoring`]: which alerts its metrics would raise
//!
//! Callers and targets:
//! - [`callers`]: many callers at once
//! - [`targets`]: the scriptable target, the practice callee, a host that never accepts
//! - [`hostile`]: connections of a client that means harm
//! - [`ledger`]: compares what callers were promised with what was found
//! - [`http`], [`queue_message`]
//!
//! Running tests:
//! - [`process`], [`cleanup`], [`ports`], [`eventually`], [`shared_runtime`]

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test harness fails loudly"
)]

pub mod broker_under_test;
pub mod callers;
pub mod cleanup;
pub mod dns;
pub mod earlier_release;
pub mod eventually;
pub mod exclusive_broker;
pub mod fault_proxy;
pub mod gateway;
pub mod hostile;
pub mod http;
pub mod ledger;
pub mod monitoring;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod queue_message;
pub mod rabbitmq;
pub mod scenario;
pub mod shared_gateway;
pub mod shared_runtime;
pub mod targets;
pub mod tls_certs;

pub use broker_under_test::{BrokerKind, BrokerUnderTest};
pub use callers::Callers;
pub use dns::{Dns, DnsAnswer};
pub use eventually::{eventually, until_none_left};
pub use exclusive_broker::{ExclusiveBroker, ExclusiveRabbitMq};
pub use fault_proxy::{FaultProxy, LinkState};
pub use gateway::{Gateway, GatewayOptions, GatewayRole};
pub use hostile::{HostileConnections, HostileKind};
pub use monitoring::MetricsRecording;
pub use postgres::Postgres;
pub use process::Process;
pub use queue_message::QueueMessage;
pub use rabbitmq::{RabbitCluster, RabbitMq};
pub use scenario::{Scenario, SingleProcess};
pub use shared_gateway::{DeadLetterMessage, SharedGateway, SharedGatewayUse, callback};
pub use shared_runtime::on_shared_runtime;
pub use targets::{Callee, ScriptedReply, Step, TestTarget, UnreachableHost};
