//! What operators do: the operators' API, commands, settings, starting and stopping.
//!
//! - `console.rs`: the pages for operators; `console_bulk.rs`: groups, and acts on many
//! - `control.rs`: what all processes say; `same_answers.rs`: whoever is asked
//! - `dead_letters.rs`, `replay.rs`, `pauses.rs`, `switches.rs`, `unreadable.rs`: by command and by
//!   API
//! - `bulk/`: acts on many callbacks that wait or have ended
//! - `payload.rs`: causes, messages and answers, and who may see them
//! - `listener.rs`: who may use the operators' API
//! - `startup.rs`, `reload.rs`: settings at start and in a running gateway
//! - `reference.rs`: the references of settings and metrics list what there is
//! - `dev.rs`: `ringback dev`; `doctor.rs`: `ringback doctor`
//! - `reload_command.rs`: `ringback reload`; `secret_files.rs`: secrets in files
//! - `service_manager.rs`: readiness and watchdog of systemd; `machine.rs`: what a machine may lack
//! - `first_hour.rs`: `init`, `send`, `tail`, empty lists, wrong words
//! - `probe.rs`: `ringback probe`, `ringback listen` and `ringback openapi`
//! - `broken_stderr.rs`: a process whose log nobody reads any more

mod broken_stderr;
mod bulk;
mod console;
mod console_bulk;
mod control;
mod dead_letters;
mod dev;
mod dev_end;
mod dev_ports;
mod dev_targets;
pub(crate) mod doctor;
mod first_hour;
mod listener;
mod machine;
mod pauses;
mod payload;
mod probe;
mod probe_tls;
mod reference;
mod reload;
mod reload_command;
mod replay;
mod same_answers;
mod secret_files;
mod service_manager;
pub(crate) mod startup;
mod switches;
mod unreadable;
