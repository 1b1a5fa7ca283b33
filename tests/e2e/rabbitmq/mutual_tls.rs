//! A broker that requires a client certificate, and certificates that change on disk.

use std::fs;

use tests::callers::{CallerAnswer, Wire, post};
use tests::cleanup::TempDirectory;
use tests::tls_certs::Authority;
use tests::{GatewayOptions, GatewayRole, Process, RabbitMq, Scenario};

use super::{SOON, SingleRole};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_requires_a_client_certificate_gets_the_current_one() {
    let temp = TempDirectory::new("amqps");
    let directory = temp.path();
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let rabbit = RabbitMq::start_with_tls(&ours.issue("127.0.0.1"), Some(&clients)).await;
    let ca = ours.write(directory, "ours.crt");
    let [cert, key] = clients.issue("ringback").write(directory, "us");
    let strangers = Authority::new("strangers");
    let [strange, strange_key] = strangers.issue("ringback").write(directory, "stranger");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let url = format!("amqps://guest:guest@127.0.0.1:{}/%2f", rabbit.tls_port());
    let (ca, cert, key) = (text(&ca), text(&cert), text(&key));
    let (strange, strange_key) = (text(&strange), text(&strange_key));

    for (cert, key) in [("", ""), (&*strange, &*strange_key)] {
        let mut single = SingleRole::start(
            "ingress",
            &[
                ("RINGBACK__BROKER__URL", &url),
                ("RINGBACK__BROKER__CA_FILE", &ca),
                ("RINGBACK__BROKER__CERT_FILE", cert),
                ("RINGBACK__BROKER__KEY_FILE", key),
            ],
        );
        single.failed_connections(2).await;
        let answered = single.post().await;
        assert_eq!((answered.status, answered.request_id()), (503, None));
    }

    let options = [
        ("RINGBACK__BROKER__URL", &url),
        ("RINGBACK__BROKER__CA_FILE", &ca),
        ("RINGBACK__BROKER__CERT_FILE", &cert),
        ("RINGBACK__BROKER__KEY_FILE", &key),
    ];
    let options = options
        .into_iter()
        .fold(GatewayOptions::default(), |it, (key, value)| {
            it.with(key, value)
        });
    let mut scenario = Scenario::start(&rabbit, options).await;
    let mut answers = scenario.callers(&["/ok"], 4, 50).done().await;
    assert!(answers.iter().all(CallerAnswer::accepted), "{answers:?}");

    // The management API requires one too.
    let port = rabbit.management_tls_port();
    let management = format!("https://guest:guest@127.0.0.1:{port}");
    let arguments = ["topology", "--check", "--management", &management];
    let mut asking = Process::ringback(&arguments, scenario.variables());
    let ended = asking.wait_exit(SOON).await;
    assert!(ended.success(), "{}", asking.log());

    // An invalid file stops the next connection, not the process.
    let good = fs::read(&ca).unwrap();
    fs::write(&ca, strangers.pem()).unwrap();
    let closing = ["close_all_connections", "an operator closes them"];
    rabbit.ctl(&closing).await;
    let both = [GatewayRole::Ingress, GatewayRole::Dispatcher(0)];
    let refused = "IO error: TLS: invalid peer certificate: UnknownIssuer";
    let words = [
        format!("disconnected: {refused}"),
        format!("disconnected: {refused}"),
    ];
    for (role, words) in both.into_iter().zip(words) {
        scenario.broker_is(role, &words, SOON).await;
    }
    let refused_answers = scenario.callers(&["/ok"], 4, 20).done().await;
    assert!(
        refused_answers.iter().all(CallerAnswer::refused),
        "{refused_answers:?}"
    );
    answers.extend(refused_answers);
    fs::write(&ca, "half a fi").unwrap();
    let words = "disconnected: IO error: TLS: ca_file: there is no certificate in it (PEM)";
    scenario.broker_is(GatewayRole::Ingress, words, SOON).await;

    // Renewed in place: the next connection uses the new files.
    fs::write(&ca, good).unwrap();
    let [_, _] = clients.issue("ringback").write(directory, "us");
    for role in both {
        scenario.broker_is(role, "connected", SOON).await;
    }
    let mut wire = Wire::to(scenario.ingress.address);
    let last = post(&mut wire, 0, &scenario.callee.url("/ok")).await;
    assert!(last.accepted(), "{last:?}");
    answers.push(last);
    let audit = scenario.settle(&answers).await;
    assert_eq!((audit.accepted, audit.refused), (51, 20), "{audit}");
}
