//! A node's listeners with TLS, besides those without.

use std::path::Path;

use super::RabbitMq;
use super::node::{Ports, TlsPorts};
use crate::ports::free_port;
use crate::tls_certs::{Authority, Certificate};

/// A node's certificate, and the authority of its clients' certificates.
pub(super) struct NodeTls<'a> {
    certificate: &'a Certificate,
    clients: Option<&'a Authority>,
}

impl RabbitMq {
    /// Starts a node that also listens with TLS, for AMQP and for the management API. With
    /// `clients`, clients without a certificate of that authority are rejected.
    ///
    /// # Panics
    /// As [`RabbitMq::start`].
    pub async fn start_with_tls(certificate: &Certificate, clients: Option<&Authority>) -> Self {
        let tls = Some(TlsPorts {
            amqp: free_port(),
            management: free_port(),
        });
        let ports = Ports {
            tls,
            ..Ports::free()
        };
        Self::start_on(
            ports,
            Some(NodeTls {
                certificate,
                clients,
            }),
        )
        .await
    }

    /// The port of AMQP with TLS on 127.0.0.1.
    ///
    /// # Panics
    /// When the node was started without it.
    pub const fn tls_port(&self) -> u16 {
        self.tls_ports().amqp
    }

    /// The port of the management API with TLS on 127.0.0.1.
    ///
    /// # Panics
    /// As [`RabbitMq::tls_port`].
    pub const fn management_tls_port(&self) -> u16 {
        self.tls_ports().management
    }

    const fn tls_ports(&self) -> &TlsPorts {
        self.ports.tls.as_ref().expect("started with TLS")
    }
}

impl NodeTls<'_> {
    /// Writes the certificates, and returns the settings that name them.
    pub(super) fn settings(&self, directory: &Path, ports: &Ports) -> String {
        let tls = ports.tls.as_ref().expect("ports for TLS");
        let [cert, key] = self.certificate.write(directory, "node");
        let (cert, key) = (cert.display(), key.display());
        let (verify, strict) = match self.clients {
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
            if let Some(clients) = self.clients {
                let ca = clients.write(directory, "clients.crt");
                settings += &format!("{section}.cacertfile = {}\n", ca.display());
            }
        }
        settings
    }
}
