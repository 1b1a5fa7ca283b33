//! How does a node take connections under TLS, beside those without?

use std::path::Path;

use super::Rabbit;
use super::node::{Ports, TlsPorts};
use crate::papers::{Authority, Papers};
use crate::ports::free_port;

/// What a node shows, and whom it lets in.
pub(super) struct Shown<'a> {
    papers: &'a Papers,
    visitors: Option<&'a Authority>,
}

impl Rabbit {
    /// Starts a node that listens under TLS as well, for AMQP and with the management API, and shows
    /// these papers there. With `visitors`, who has no papers of theirs is not let in.
    ///
    /// # Panics
    /// As [`Rabbit::start`].
    pub async fn start_with_tls(papers: &Papers, visitors: Option<&Authority>) -> Self {
        let tls = Some(TlsPorts {
            amqp: free_port(),
            management: free_port(),
        });
        let ports = Ports {
            tls,
            ..Ports::free()
        };
        Self::start_on(ports, Some(Shown { papers, visitors })).await
    }

    /// The port of AMQP under TLS on 127.0.0.1.
    ///
    /// # Panics
    /// When the node was started without it.
    pub const fn tls_port(&self) -> u16 {
        self.tls_ports().amqp
    }

    /// The port of the management API under TLS on 127.0.0.1.
    ///
    /// # Panics
    /// As [`Rabbit::tls_port`].
    pub const fn management_tls_port(&self) -> u16 {
        self.tls_ports().management
    }

    const fn tls_ports(&self) -> &TlsPorts {
        self.ports.tls.as_ref().expect("started with TLS")
    }
}

impl Shown<'_> {
    /// Writes the papers, and gives the lines of the settings that name them.
    pub(super) fn settings(&self, directory: &Path, ports: &Ports) -> String {
        let tls = ports.tls.as_ref().expect("ports for TLS");
        let [cert, key] = self.papers.write(directory, "node");
        let (cert, key) = (cert.display(), key.display());
        let (verify, strict) = match self.visitors {
            Some(_) => ("verify_peer", true),
            None => ("verify_none", false),
        };
        let mut settings = format!(
            "listeners.ssl.default = 127.0.0.1:{}\n\
             management.ssl.ip = 127.0.0.1\n\
             management.ssl.port = {}\n",
            tls.amqp, tls.management
        );
        for section in ["ssl_options", "management.ssl"] {
            settings += &format!(
                "{section}.certfile = {cert}\n\
                 {section}.keyfile = {key}\n\
                 {section}.verify = {verify}\n\
                 {section}.fail_if_no_peer_cert = {strict}\n"
            );
            if let Some(visitors) = self.visitors {
                let ca = visitors.write(directory, "visitors.crt");
                settings += &format!("{section}.cacertfile = {}\n", ca.display());
            }
        }
        settings
    }
}
