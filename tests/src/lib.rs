//! With what are the promises tested? With the real binary, a real RabbitMQ and real targets.
//!
//! Everything here is private to the test that starts it: free ports, a directory of its own, and
//! a reaper that cleans up even when the test process is killed (see [`nest`]).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test harness fails loudly"
)]

pub mod bench;
pub mod blunt;
pub mod callee;
pub mod callers;
pub mod cut;
pub mod dns;
pub mod eventually;
pub mod full;
pub mod gateway;
pub mod ground;
pub mod http;
pub mod kind;
pub mod ledger;
pub mod nest;
pub mod papers;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod rabbit;
pub mod rough;
pub mod scene;
pub mod site;
pub mod spare;
pub mod taken;
pub mod together;
pub mod trap;
pub mod world;

pub use blunt::Blunt;
pub use callee::Callee;
pub use callers::Callers;
pub use cut::{Cut, Line};
pub use dns::{Dns, Says};
pub use eventually::{dwindles, eventually};
pub use full::Full;
pub use gateway::{Gateway, GatewayOptions, Role};
pub use ground::{Ground, Turn};
pub use kind::Kind;
pub use postgres::Postgres;
pub use process::Process;
pub use rabbit::Rabbit;
pub use rough::{Mode, Rough};
pub use scene::Scene;
pub use site::Site;
pub use spare::Spare;
pub use together::together;
pub use trap::Trap;
pub use world::{DeadLetter, Visit, World, callback};
