//! What of a start is about RabbitMQ alone? Waiting for one that is not there, and its topology.

use std::time::{Duration, Instant};

use tests::nest::Nest;
use tests::ports::free_port;
use tests::{Kind, Process, callback, eventually, http, together};

use super::{SOON, errors_of, no_broker, printed, sentence};

#[test]
fn a_role_without_a_broker_stays_and_says_that_it_is_not_ready() {
    Kind::must_be_rabbitmq();
    together(async {
        let client = http::client();
        let url = no_broker();
        for role in ["ingress", "dispatcher"] {
            let address = format!("127.0.0.1:{}", free_port());
            let variable = format!("RINGBACK__{}__LISTEN", role.to_uppercase());
            let environment = [
                (&*variable, &*address),
                ("RINGBACK__BROKER__URL", &*url),
                ("RINGBACK__GUARD__ALLOW", "127.0.0.1"),
            ];
            let mut process = Process::ringback(&[role], environment);
            let get = async |path: &str| {
                let got = client.get(format!("http://{address}{path}")).send().await;
                let got = got.map_err(|error| format!("{error:?}"))?;
                let status = got.status().as_u16();
                Ok::<_, String>((status, got.text().await.unwrap()))
            };
            let (status, _) = eventually("an answer", SOON, async || get("/healthz").await).await;
            assert_eq!(status, 200, "{role}");
            // The state after a try to connect, not the one before any.
            let (status, body) = eventually("a failed try", SOON, async || {
                let (status, body) = get("/readyz").await?;
                let tried = body.contains("never connected: ");
                if tried { Ok((status, body)) } else { Err(body) }
            })
            .await;
            assert_eq!(status, 503, "{role}: {body}");
            assert!(body.contains(r#""ready":false"#), "{role}: {body}");
            assert!(!body.contains("s3cret"), "{role}: {body}");

            if role == "ingress" {
                let asked = Instant::now();
                let request = client.post(format!("http://{address}/api/callback"));
                let body = callback("http://127.0.0.1:9/").to_string();
                let answer = request.body(body).send().await.unwrap();
                assert_eq!(answer.status(), 503);
                let msg = "服务调用异常，请稍后再试或联系管理员";
                let expected = format!(r#"{{"code":"500","msg":"{msg}"}}"#);
                assert_eq!(answer.text().await.unwrap(), expected);
                let took = asked.elapsed();
                assert!(took < Duration::from_secs(15), "{took:?}");
            }
            assert_eq!(process.ended(), None, "{role}");
            process.sigterm();
            let ended = process.wait_exit(SOON).await;
            let log = process.log();
            assert!(ended.success(), "{role}: {ended}");
            assert!(
                !log.contains("s3cret") && !log.contains("panicked"),
                "{role}: {log}"
            );
        }
    });
}

#[test]
fn the_topology_is_printed_as_definitions_to_import() {
    Kind::must_be_rabbitmq();
    together(async {
        let shown = printed(&["topology"], &[("RINGBACK__BROKER__PREFIX", "gate")]).await;
        let definitions: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let names = |of: &str| -> Vec<&str> {
            let list = definitions[of].as_array().unwrap().iter();
            list.filter_map(|one| one["name"].as_str()).collect()
        };
        assert_eq!(names("queues").len(), 27, "{shown}");
        for queue in [
            "gate.first",
            "gate.retry",
            "gate.dead",
            "gate.poison",
            "gate.journal",
            "gate.delay.19",
        ] {
            assert!(names("queues").contains(&queue), "{queue}");
        }
        assert!(names("exchanges").contains(&"gate.in"));
    });
}

#[test]
fn a_file_for_tls_that_cannot_be_used_stops_the_start() {
    Kind::must_be_rabbitmq();
    together(async {
        let nest = Nest::new("startup");
        let blank = nest.directory().join("blank.pem").display().to_string();
        std::fs::write(&blank, "no certificate").unwrap();
        let (plain, tls) = (no_broker(), no_broker().replacen("amqp:", "amqps:", 1));
        for (url, files, named, reason) in [
            (
                &tls,
                &[("CA_FILE", "/no/such/ca.pem")][..],
                "broker.ca_file (RINGBACK__BROKER__CA_FILE)",
                "/no/such/ca.pem cannot be read",
            ),
            (
                &tls,
                &[("CA_FILE", &*blank)],
                "broker.ca_file (RINGBACK__BROKER__CA_FILE)",
                "there is no certificate in it (PEM)",
            ),
            (
                &tls,
                &[("CERT_FILE", &*blank), ("KEY_FILE", &*blank)],
                "broker.cert_file (RINGBACK__BROKER__CERT_FILE)",
                "there is no certificate in it (PEM)",
            ),
            (
                &tls,
                &[("CERT_FILE", &*blank)],
                "RINGBACK__BROKER__CERT_FILE",
                "cert_file and key_file go together",
            ),
            (
                &plain,
                &[("CA_FILE", &*blank)],
                "RINGBACK__BROKER__CA_FILE",
                "broker.url begins with amqp:// (write amqps://)",
            ),
        ] {
            let files: Vec<_> = files
                .iter()
                .map(|(key, path)| (format!("RINGBACK__BROKER__{key}"), *path))
                .collect();
            let mut variables = vec![("RINGBACK__BROKER__URL", &**url)];
            variables.extend(files.iter().map(|(key, path)| (&**key, *path)));
            for role in ["ingress", "dispatcher"] {
                let mut process = errors_of(&nest, role, &variables);
                let ended = process.wait_exit(SOON).await;
                let said = process.log();
                assert!(!ended.success(), "{role} {files:?}: {said}");
                let sentence = sentence(&said);
                let begin = format!("{named}: ");
                assert!(sentence.contains(&begin), "{role} {files:?}: {said}");
                assert!(sentence.contains(reason), "{role} {files:?}: {said}");
                assert!(!said.contains("s3cret"), "{said}");
            }
        }
    });
}
