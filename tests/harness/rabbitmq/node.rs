//! Ports, files and environment that keep a RabbitMQ node private.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::RabbitMq;
use super::install::Installation;
use super::network::NodeHost;
use crate::ports::free_port;

#[derive(Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
    pub(super) management: Option<u16>,
    pub(super) tls: Option<TlsPorts>,
}

/// Ports of listeners with TLS.
#[derive(Debug)]
pub(super) struct TlsPorts {
    pub(super) amqp: u16,
    pub(super) management: u16,
}

impl Ports {
    /// The ports that every node needs.
    pub(super) fn free() -> Self {
        Self {
            amqp: free_port(),
            distribution: free_port(),
            epmd: free_port(),
            management: None,
            tls: None,
        }
    }

    /// The other ports on which it listens once it is up.
    pub(super) fn beside_amqp(&self) -> impl Iterator<Item = u16> {
        let tls = self.tls.iter().flat_map(|tls| [tls.amqp, tls.management]);
        self.management.into_iter().chain(tls)
    }
}

impl RabbitMq {
    /// One of RabbitMQ's scripts with the environment of this node.
    pub(super) fn command(&self, script: &str) -> Command {
        let directory = self.temp.path();
        let mut command = self.installation.script(&self.place, script);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(key);
            }
        }
        let address = self.place.erlang_address();
        let local = format!("-kernel inet_dist_use_interface {address}");
        // A name with an address is a long one.
        let long_name = self.place.keeper.is_some().to_string();
        command
            .env("HOME", directory) // Where Erlang looks for its cookie.
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", &self.place.host)
            .env("RABBITMQ_USE_LONGNAME", long_name)
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
            .env("RABBITMQ_LOG_BASE", directory.join("log"))
            .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", directory.join("no-such-file"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", directory.join("advanced.config"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", directory.join("generated"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", &local)
            .env("RABBITMQ_CTL_ERL_ARGS", local);
        command
    }
}

/// The name of the node with these ports.
pub(super) fn name(place: &NodeHost, ports: &Ports) -> String {
    format!("ringback{}@{}", ports.amqp, place.host_in_name())
}

pub(super) fn epmd(installation: &Installation, place: &NodeHost, ports: &Ports) -> Command {
    let mut command = installation.epmd(place);
    command.args(["-port", &ports.epmd.to_string(), "-address", &place.host]);
    command
}

/// Writes the files that the node reads at its start; `more_settings` are lines of its settings, and
/// `kernel` is a part of its advanced ones.
pub(super) fn write_files(
    directory: &Path,
    place: &NodeHost,
    ports: &Ports,
    more_settings: &str,
    kernel: Option<&str>,
) {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let mut settings = format!(
        "listeners.tcp.default = {}:{}\n\
         loopback_users = none\n\
         log.file = false\n\
         log.console = true\n\
         log.console.level = warning\n\
         disk_free_limit.absolute = 1MB\n",
        place.host, ports.amqp
    );
    settings += more_settings;
    let mut plugins = "[].\n";
    if ports.tls.is_some() {
        plugins = "[rabbitmq_management].\n";
    }
    if let Some(port) = ports.management {
        plugins = "[rabbitmq_management].\n";
        settings += &format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n");
    }
    write("rabbitmq.conf", &settings);
    write("enabled_plugins", plugins);
    // A dead-lettered message that the next queue does not confirm is published again only after
    // this time, 180 s by default (measured on 3.10.8). It may happen after a crash of the node.
    let kernel = kernel.map(|kernel| format!(", {kernel}"));
    let kernel = kernel.unwrap_or_default();
    write(
        "advanced.config",
        &format!(
            "[{{rabbit, [{{dead_letter_worker_publisher_confirm_timeout, 20000}}]}}{kernel}].\n"
        ),
    );
    // Erlang refuses a cookie that others can read.
    write(".erlang.cookie", &uuid::Uuid::now_v7().simple().to_string());
    let cookie = directory.join(".erlang.cookie");
    fs::set_permissions(cookie, fs::Permissions::from_mode(0o400)).unwrap();
}

/// Gives a node the cookie of another one, so that they talk to each other.
pub(super) fn copy_cookie(from: &Path, to: &Path) {
    let cookie = to.join(".erlang.cookie");
    fs::remove_file(&cookie).unwrap();
    fs::copy(from.join(".erlang.cookie"), &cookie).unwrap();
    fs::set_permissions(cookie, fs::Permissions::from_mode(0o400)).unwrap();
}
