//! Is a broker spoken to over `amqps://` only when the right authority vouches for it by its name?

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tests::callers::Answer;
use tests::nest::Nest;
use tests::papers::Authority;
use tests::{GatewayOptions, Process, Rabbit, Scene, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use super::{Lonely, SOON};

/// How a TLS record begins that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: [u8; 2] = [0x16, 3];

/// A node whose papers are for 127.0.0.1, signed by an authority of its own.
struct Site {
    rabbit: Rabbit,
    ca: PathBuf,
    other_ca: PathBuf,
    _nest: Nest,
}

impl Site {
    async fn shared() -> &'static Self {
        static SITE: OnceCell<Site> = OnceCell::const_new();
        SITE.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let nest = Nest::new("amqps");
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        let papers = ours.papers("127.0.0.1");
        Self {
            ca: ours.write(nest.directory(), "ours.crt"),
            other_ca: other.write(nest.directory(), "other.crt"),
            rabbit: Rabbit::start_with_tls(&papers, None).await,
            _nest: nest,
        }
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        let port = self.rabbit.tls_port();
        format!("{scheme}://guest:guest@{host}:{port}/%2f")
    }

    fn ca(&self) -> &str {
        self.ca.to_str().unwrap()
    }

    /// The broker's own word for each of its connections: whether it is under TLS, and who it is.
    async fn connections(&self) -> Vec<(bool, String)> {
        let asked = ["list_connections", "ssl", "client_properties"];
        let listed = self.rabbit.ctl(&asked).await;
        let lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines
            .map(|(ssl, who)| (ssl == "true", who.to_owned()))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_flow_to_a_broker_that_the_named_authority_vouches_for() {
    let site = Site::shared().await;
    let options = GatewayOptions::default()
        .with("RINGBACK__BROKER__URL", &site.url("amqps", "127.0.0.1"))
        .with("RINGBACK__BROKER__CA_FILE", site.ca());
    let mut scene = Scene::start(&site.rabbit, options).await;
    let answers = scene.callers(&["/ok", "/flaky/1"], 8, 200).done().await;
    assert!(answers.iter().all(Answer::accepted), "{answers:?}");
    let connections = site.connections().await;
    for door in scene.doors() {
        let own = format!("ringback-{}@", door.role());
        let pid = format!(":{} ", door.process.pid());
        let own = connections
            .iter()
            .filter(|(_, who)| who.contains(&own) && who.contains(&pid));
        let encrypted: Vec<bool> = own.map(|(encrypted, _)| *encrypted).collect();
        let expected = if door.role() == "ingress" { 1 } else { 2 };
        assert_eq!(encrypted, vec![true; expected], "{connections:?}");
    }
    let audit = scene.settle(&answers).await;
    assert_eq!((audit.accepted, audit.repeats), (200, 0), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_nobody_vouches_for_is_told_nothing() {
    let site = Site::shared().await;
    let (good, other) = (site.ca(), site.other_ca.to_str().unwrap());
    let tls = "never connected: IO error: TLS: ";
    let unknown = format!("{tls}invalid peer certificate: UnknownIssuer");
    for (what, url, ca, begin) in [
        (
            "another authority",
            site.url("amqps", "127.0.0.1"),
            other,
            &*unknown,
        ),
        // Whatever the system trusts, it is not ours, if it trusts anybody at all.
        (
            "the system's authorities",
            site.url("amqps", "127.0.0.1"),
            "",
            tls,
        ),
        (
            "another name",
            site.url("amqps", "localhost"),
            good,
            &*format!("{tls}invalid peer certificate: "),
        ),
        (
            "no TLS to the port of TLS",
            site.url("amqp", "127.0.0.1"),
            "",
            "never connected: ",
        ),
    ] {
        let variables = [
            ("RINGBACK__BROKER__URL", &*url),
            ("RINGBACK__BROKER__CA_FILE", ca),
        ];
        for role in ["ingress", "dispatcher"] {
            let mut lonely = Lonely::start(role, &variables);
            let said = lonely.turned_away(2).await;
            let said = said.strip_prefix("publishing: ").unwrap_or(&said);
            assert!(said.starts_with(begin), "{what}, {role}: {said}");
            if role == "ingress" {
                let answered = lonely.post().await;
                assert_eq!((answered.status, answered.request_id()), (503, None));
            }
            let log = lonely.process.log();
            let reason = begin.trim_start_matches("never connected: ");
            assert!(log.contains(reason), "{what}, {role}: {log}");
            let pid = format!(":{} ", lonely.process.pid());
            let connections = site.connections().await;
            let own = connections.iter().find(|(_, who)| who.contains(&pid));
            assert_eq!(own, None, "{what}, {role}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_systems_authorities_count_where_none_is_named_and_only_there() {
    let site = Site::shared().await;
    let url = site.url("amqps", "127.0.0.1");
    // What the system trusts, as far as this process knows.
    let system = [
        ("RINGBACK__BROKER__URL", &*url),
        ("RINGBACK__BROKER__PREFIX", "system"),
        ("SSL_CERT_FILE", site.ca()),
    ];
    let lonely = Lonely::start("ingress", &system);
    eventually("the connection", SOON, async || {
        let (status, said) = lonely.broker().await?;
        (status == 200).then_some(()).ok_or(said)
    })
    .await;
    let other = ("RINGBACK__BROKER__CA_FILE", site.other_ca.to_str().unwrap());
    let [url, prefix, system] = system;
    let mut lonely = Lonely::start("ingress", &[url, prefix, system, other]);
    let said = lonely.turned_away(2).await;
    assert!(said.ends_with("UnknownIssuer"), "{said}");
}

/// A server that speaks AMQP without TLS, or seems to, and keeps how each of its visitors begins.
async fn plain_broker() -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut begin = vec![0; 16];
            if stream.read_exact(&mut begin).await.is_ok() {
                kept.lock().unwrap().push(begin);
                // What RabbitMQ answers whom it does not understand.
                let _ = stream.write_all(b"AMQP\0\0\x09\x01").await;
            }
        }
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_of_amqp_is_said_in_the_clear() {
    let (port, heard) = plain_broker().await;
    let nest = Nest::new("amqps");
    let ca = Authority::new("ours").write(nest.directory(), "ours.crt");
    let url = format!("amqps://guest:guest@127.0.0.1:{port}/%2f");
    let variables = [
        ("RINGBACK__BROKER__URL", &*url),
        ("RINGBACK__BROKER__CA_FILE", ca.to_str().unwrap()),
    ];
    let mut lonely = Lonely::start("ingress", &variables);
    let said = lonely.turned_away(4).await;
    let begin = "never connected: IO error: TLS: ";
    assert!(said.starts_with(begin), "{said}");
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() >= 4, "{heard:?}");
    for begin in heard {
        assert_eq!(begin[..2], HANDSHAKE, "{begin:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_management_api_is_trusted_as_the_broker_is() {
    let site = Site::shared().await;
    let mut lonely = Lonely::start(
        "dispatcher",
        &[
            ("RINGBACK__BROKER__URL", &site.url("amqps", "127.0.0.1")),
            ("RINGBACK__BROKER__CA_FILE", site.ca()),
            ("RINGBACK__BROKER__PREFIX", "checked"),
        ],
    );
    eventually("the topology", SOON, async || {
        let (status, said) = lonely.broker().await?;
        (status == 200).then_some(()).ok_or(said)
    })
    .await;
    assert_eq!(lonely.process.ended(), None);
    let port = site.rabbit.management_tls_port();
    for (host, ca, expected) in [
        (
            "127.0.0.1",
            site.ca(),
            Ok("the topology is as it should be"),
        ),
        (
            "127.0.0.1",
            site.other_ca.to_str().unwrap(),
            Err("does not answer: invalid peer certificate: UnknownIssuer"),
        ),
        ("localhost", site.ca(), Err("does not answer: ")),
        ("127.0.0.1", "", Err("does not answer: ")),
        (
            "127.0.0.1",
            "/nowhere/ca.pem",
            Err("broker.ca_file (RINGBACK__BROKER__CA_FILE): /nowhere/ca.pem cannot be read"),
        ),
    ] {
        let management = format!("https://guest:guest@{host}:{port}");
        let arguments = ["topology", "--check", "--management", &management];
        let url = site.url("amqps", "127.0.0.1");
        let variables = [
            ("RINGBACK__BROKER__URL", &*url),
            ("RINGBACK__BROKER__CA_FILE", ca),
            ("RINGBACK__BROKER__PREFIX", "checked"),
        ];
        let mut asking = Process::ringback(&arguments, variables);
        let ended = asking.wait_exit(SOON).await;
        let said = asking.log();
        assert_eq!(ended.success(), expected.is_ok(), "{said}");
        let (Ok(words) | Err(words)) = expected;
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("guest"), "{said}");
    }
}
