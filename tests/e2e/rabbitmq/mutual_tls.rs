//! Is a broker that asks for a certificate shown ours, and are papers read anew for each connection?

use std::fs;

use tests::callers::{Answer, Wire, ask};
use tests::nest::Nest;
use tests::papers::Authority;
use tests::{GatewayOptions, Process, Rabbit, Role, Scene};

use super::{Lonely, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_asks_for_a_certificate_is_shown_ours_as_it_stands_now() {
    let nest = Nest::new("amqps");
    let directory = nest.directory();
    let (ours, visitors) = (Authority::new("ours"), Authority::new("visitors"));
    let rabbit = Rabbit::start_with_tls(&ours.papers("127.0.0.1"), Some(&visitors)).await;
    let ca = ours.write(directory, "ours.crt");
    let [cert, key] = visitors.papers("ringback").write(directory, "us");
    let strangers = Authority::new("strangers");
    let [strange, strange_key] = strangers.papers("ringback").write(directory, "stranger");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let url = format!("amqps://guest:guest@127.0.0.1:{}/%2f", rabbit.tls_port());
    let (ca, cert, key) = (text(&ca), text(&cert), text(&key));
    let (strange, strange_key) = (text(&strange), text(&strange_key));

    for (cert, key) in [("", ""), (&*strange, &*strange_key)] {
        let mut lonely = Lonely::start(
            "ingress",
            &[
                ("RINGBACK__BROKER__URL", &url),
                ("RINGBACK__BROKER__CA_FILE", &ca),
                ("RINGBACK__BROKER__CERT_FILE", cert),
                ("RINGBACK__BROKER__KEY_FILE", key),
            ],
        );
        lonely.turned_away(2).await;
        let answered = lonely.post().await;
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
    let mut scene = Scene::start(&rabbit, options).await;
    let mut answers = scene.callers(&["/ok"], 4, 50).done().await;
    assert!(answers.iter().all(Answer::accepted), "{answers:?}");

    // The management API asks for one too.
    let port = rabbit.management_tls_port();
    let management = format!("https://guest:guest@127.0.0.1:{port}");
    let arguments = ["topology", "--check", "--management", &management];
    let mut asking = Process::ringback(&arguments, scene.variables());
    let ended = asking.wait_exit(SOON).await;
    assert!(ended.success(), "{}", asking.log());

    // Papers that are none stop the next connection, and not the process.
    let good = fs::read(&ca).unwrap();
    fs::write(&ca, strangers.pem()).unwrap();
    let closing = ["close_all_connections", "an operator closes them"];
    rabbit.ctl(&closing).await;
    let both = [Role::Ingress, Role::Dispatcher(0)];
    let refused = "IO error: TLS: invalid peer certificate: UnknownIssuer";
    let words = [
        format!("disconnected: {refused}"),
        format!("disconnected: {refused}"),
    ];
    for (role, words) in both.into_iter().zip(words) {
        scene.broker_is(role, &words, SOON).await;
    }
    let turned = scene.callers(&["/ok"], 4, 20).done().await;
    assert!(turned.iter().all(Answer::refused), "{turned:?}");
    answers.extend(turned);
    fs::write(&ca, "half a fi").unwrap();
    let words = "disconnected: IO error: TLS: ca_file: there is no certificate in it (PEM)";
    scene.broker_is(Role::Ingress, words, SOON).await;

    // Renewed in place: the next connection is made with them.
    fs::write(&ca, good).unwrap();
    let [_, _] = visitors.papers("ringback").write(directory, "us");
    for role in both {
        scene.broker_is(role, "connected", SOON).await;
    }
    let mut wire = Wire::to(scene.ingress.address);
    let last = ask(&mut wire, 0, &scene.callee.url("/ok")).await;
    assert!(last.accepted(), "{last:?}");
    answers.push(last);
    let audit = scene.settle(&answers).await;
    assert_eq!((audit.accepted, audit.refused), (51, 20), "{audit}");
}
