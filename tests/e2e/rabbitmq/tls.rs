//! A broker over `amqps://` is trusted only with the right authority and the right name.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tests::callers::CallerAnswer;
use tests::cleanup::TempDirectory;
use tests::tls_certs::Authority;
use tests::{GatewayOptions, Process, RabbitMq, Scenario, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use super::{SOON, SingleRole};

/// The first bytes of a TLS handshake record (RFC 8446, 5.1).
const HANDSHAKE: [u8; 2] = [0x16, 3];

/// A node with a certificate for 127.0.0.1, signed by an authority of its own.
struct TlsBroker {
    rabbit: RabbitMq,
    ca: PathBuf,
    other_ca: PathBuf,
    _temp: TempDirectory,
}

impl TlsBroker {
    async fn shared() -> &'static Self {
        static SITE: OnceCell<TlsBroker> = OnceCell::const_new();
        SITE.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let temp = TempDirectory::new("amqps");
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        let certificate = ours.issue("127.0.0.1");
        Self {
            ca: ours.write(temp.path(), "ours.crt"),
            other_ca: other.write(temp.path(), "other.crt"),
            rabbit: RabbitMq::start_with_tls(&certificate, None).await,
            _temp: temp,
        }
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        let port = self.rabbit.tls_port();
        format!("{scheme}://guest:guest@{host}:{port}/%2f")
    }

    fn ca(&self) -> &str {
        self.ca.to_str().unwrap()
    }

    /// The broker's list of connections: whether with TLS, and the client's properties.
    async fn connections(&self) -> Vec<(bool, String)> {
        let query = ["list_connections", "ssl", "client_properties"];
        let listed = self.rabbit.ctl(&query).await;
        let lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines
            .map(|(ssl, who)| (ssl == "true", who.to_owned()))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_are_delivered_with_a_broker_of_the_configured_authority() {
    let setup = TlsBroker::shared().await;
    let options = GatewayOptions::default()
        .with("RINGBACK__BROKER__URL", &setup.url("amqps", "127.0.0.1"))
        .with("RINGBACK__BROKER__CA_FILE", setup.ca());
    let mut scenario = Scenario::start(&setup.rabbit, options).await;
    let answers = scenario.callers(&["/ok", "/flaky/1"], 8, 200).done().await;
    assert!(answers.iter().all(CallerAnswer::accepted), "{answers:?}");
    let connections = setup.connections().await;
    for instance in scenario.instances() {
        let own = format!("ringback-{}@", instance.role());
        let pid = format!(":{} ", instance.process.pid());
        // The control plane's connection opens later.
        let own = connections.iter().filter(|(_, who)| {
            who.contains(&own) && who.contains(&pid) && !who.contains(" control")
        });
        let encrypted: Vec<bool> = own.map(|(encrypted, _)| *encrypted).collect();
        let expected = if instance.role() == "ingress" { 1 } else { 2 };
        assert_eq!(encrypted, vec![true; expected], "{connections:?}");
    }
    let audit = scenario.settle(&answers).await;
    assert_eq!((audit.accepted, audit.repeats), (200, 0), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_broker_receives_nothing() {
    let setup = TlsBroker::shared().await;
    let (good, other) = (setup.ca(), setup.other_ca.to_str().unwrap());
    let tls = "never connected: IO error: TLS: ";
    let unknown = format!("{tls}invalid peer certificate: UnknownIssuer");
    for (what, url, ca, begin) in [
        (
            "another authority",
            setup.url("amqps", "127.0.0.1"),
            other,
            &*unknown,
        ),
        // The authorities of the system do not include ours.
        (
            "the system's authorities",
            setup.url("amqps", "127.0.0.1"),
            "",
            tls,
        ),
        (
            "another name",
            setup.url("amqps", "localhost"),
            good,
            &*format!("{tls}invalid peer certificate: "),
        ),
        (
            "no TLS to the port of TLS",
            setup.url("amqp", "127.0.0.1"),
            "",
            "never connected: ",
        ),
    ] {
        let variables = [
            ("RINGBACK__BROKER__URL", &*url),
            ("RINGBACK__BROKER__CA_FILE", ca),
        ];
        for role in ["ingress", "dispatcher"] {
            let mut single = SingleRole::start(role, &variables);
            let state = single.failed_connections(2).await;
            let state = state.strip_prefix("publishing: ").unwrap_or(&state);
            assert!(state.starts_with(begin), "{what}, {role}: {state}");
            if role == "ingress" {
                let answered = single.post().await;
                assert_eq!((answered.status, answered.request_id()), (503, None));
            }
            let log = single.process.log();
            let reason = begin.trim_start_matches("never connected: ");
            assert!(log.contains(reason), "{what}, {role}: {log}");
            let pid = format!(":{} ", single.process.pid());
            let connections = setup.connections().await;
            let own = connections.iter().find(|(_, who)| who.contains(&pid));
            assert_eq!(own, None, "{what}, {role}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_systems_authorities_are_used_only_when_none_is_configured() {
    let setup = TlsBroker::shared().await;
    let url = setup.url("amqps", "127.0.0.1");
    // The system's authorities, as far as this process knows.
    let system = [
        ("RINGBACK__BROKER__URL", &*url),
        ("RINGBACK__BROKER__PREFIX", "system"),
        ("SSL_CERT_FILE", setup.ca()),
    ];
    let single = SingleRole::start("ingress", &system);
    eventually("the connection", SOON, async || {
        let (status, state) = single.broker().await?;
        (status == 200).then_some(()).ok_or(state)
    })
    .await;
    let other = (
        "RINGBACK__BROKER__CA_FILE",
        setup.other_ca.to_str().unwrap(),
    );
    let [url, prefix, system] = system;
    let mut single = SingleRole::start("ingress", &[url, prefix, system, other]);
    let state = single.failed_connections(2).await;
    assert!(state.contains(": UnknownIssuer (127.0.0.1:"), "{state}");
}

/// A server that seems to speak AMQP without TLS, and records the first bytes of each client.
async fn plain_broker() -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let kept = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut begin = vec![0; 16];
            if stream.read_exact(&mut begin).await.is_ok() {
                kept.lock().unwrap().push(begin);
                // RabbitMQ's answer to a client that it does not understand.
                let _ = stream.write_all(b"AMQP\0\0\x09\x01").await;
            }
        }
    });
    (port, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_amqp_is_sent_without_tls() {
    let (port, received) = plain_broker().await;
    let temp = TempDirectory::new("amqps");
    let ca = Authority::new("ours").write(temp.path(), "ours.crt");
    let url = format!("amqps://guest:guest@127.0.0.1:{port}/%2f");
    let variables = [
        ("RINGBACK__BROKER__URL", &*url),
        ("RINGBACK__BROKER__CA_FILE", ca.to_str().unwrap()),
    ];
    let mut single = SingleRole::start("ingress", &variables);
    let state = single.failed_connections(4).await;
    let begin = "never connected: IO error: TLS: ";
    assert!(state.starts_with(begin), "{state}");
    let received = received.lock().unwrap().clone();
    assert!(received.len() >= 4, "{received:?}");
    for begin in received {
        assert_eq!(begin[..2], HANDSHAKE, "{begin:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_management_api_is_trusted_like_the_broker() {
    let setup = TlsBroker::shared().await;
    let mut single = SingleRole::start(
        "dispatcher",
        &[
            ("RINGBACK__BROKER__URL", &setup.url("amqps", "127.0.0.1")),
            ("RINGBACK__BROKER__CA_FILE", setup.ca()),
            ("RINGBACK__BROKER__PREFIX", "checked"),
        ],
    );
    eventually("the topology", SOON, async || {
        let (status, state) = single.broker().await?;
        (status == 200).then_some(()).ok_or(state)
    })
    .await;
    assert_eq!(single.process.ended(), None);
    let port = setup.rabbit.management_tls_port();
    for (host, ca, expected) in [
        (
            "127.0.0.1",
            setup.ca(),
            Ok("the topology is as it should be"),
        ),
        (
            "127.0.0.1",
            setup.other_ca.to_str().unwrap(),
            Err("does not answer: invalid peer certificate: UnknownIssuer"),
        ),
        ("localhost", setup.ca(), Err("does not answer: ")),
        ("127.0.0.1", "", Err("does not answer: ")),
        (
            "127.0.0.1",
            "/nowhere/ca.pem",
            Err("broker.ca_file (RINGBACK__BROKER__CA_FILE): /nowhere/ca.pem cannot be read"),
        ),
    ] {
        let management = format!("https://guest:guest@{host}:{port}");
        let arguments = ["topology", "--check", "--management", &management];
        let url = setup.url("amqps", "127.0.0.1");
        let variables = [
            ("RINGBACK__BROKER__URL", &*url),
            ("RINGBACK__BROKER__CA_FILE", ca),
            ("RINGBACK__BROKER__PREFIX", "checked"),
        ];
        let mut asking = Process::ringback(&arguments, variables);
        let ended = asking.wait_exit(SOON).await;
        let state = asking.log();
        assert_eq!(ended.success(), expected.is_ok(), "{state}");
        let (Ok(words) | Err(words)) = expected;
        assert!(state.contains(words), "{state}");
        assert!(!state.contains("guest"), "{state}");
    }
}
