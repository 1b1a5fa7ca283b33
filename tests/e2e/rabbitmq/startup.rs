//! Starting without a broker, the printed topology, and invalid TLS files.

use std::time::{Duration, Instant};

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{BrokerKind, Process, RabbitMq, callback, eventually, http, on_shared_runtime};

use crate::admin::startup::{SOON, errors_of, no_broker, printed, sentence};

#[test]
fn a_role_without_a_broker_keeps_running_and_is_not_ready() {
    BrokerKind::must_be_rabbitmq();
    on_shared_runtime(async {
        let client = http::client();
        let url = no_broker();
        for role in ["ingress", "dispatcher"] {
            let [address, metrics] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
            let variable = format!("RINGBACK__{}__LISTEN", role.to_uppercase());
            let environment = [
                (&*variable, &*address),
                ("RINGBACK__METRICS__LISTEN", &*metrics),
                ("RINGBACK__BROKER__URL", &*url),
                ("RINGBACK__GUARD__ALLOW", "127.0.0.1"),
            ];
            let mut process = Process::ringback(&[role], environment);
            let get_at = async |address: &str, path: &str| {
                let got = client.get(format!("http://{address}{path}")).send().await;
                let got = got.map_err(|error| format!("{error:?}"))?;
                let status = got.status().as_u16();
                Ok::<_, String>((status, got.text().await.unwrap()))
            };
            let (status, _) = eventually("an answer", SOON, async || {
                get_at(&address, "/healthz").await
            })
            .await;
            assert_eq!(status, 200, "{role}");
            // The state after a failed attempt, not the one before any.
            let (status, body) = eventually("a failed try", SOON, async || {
                let (status, body) = get_at(&metrics, "/readyz").await?;
                let tried = body.contains("never connected: ");
                if tried { Ok((status, body)) } else { Err(body) }
            })
            .await;
            assert_eq!(status, 503, "{role}: {body}");
            assert!(body.contains(r#""ready":false"#), "{role}: {body}");
            assert!(!body.contains("s3cret"), "{role}: {body}");
            // Where strangers may ask, the answer holds no reason.
            let bare = get_at(&address, "/readyz").await.unwrap();
            assert_eq!(
                bare,
                (
                    503,
                    "{\"status\":\"not ready\",\"notes\":[\"no_journal\"]}
"
                    .to_owned()
                ),
                "{role}"
            );

            if role == "ingress" {
                let begun = Instant::now();
                let request = client.post(format!("http://{address}/api/callback"));
                let body = callback("http://127.0.0.1:9/").to_string();
                let answer = request.body(body).send().await.unwrap();
                assert_eq!(answer.status(), 503);
                let msg = "服务调用异常，请稍后再试或联系管理员";
                let expected = format!(r#"{{"code":"500","msg":"{msg}"}}"#);
                assert_eq!(answer.text().await.unwrap(), expected);
                let took = begun.elapsed();
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
    BrokerKind::must_be_rabbitmq();
    on_shared_runtime(async {
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
            "gate.unreadable",
            "gate.journal",
            "gate.delay.19",
        ] {
            assert!(names("queues").contains(&queue), "{queue}");
        }
        assert!(names("exchanges").contains(&"gate.in"));
    });
}

#[test]
fn a_user_without_the_tag_is_told_what_to_set() {
    BrokerKind::must_be_rabbitmq();
    on_shared_runtime(async {
        let rabbit = RabbitMq::start_with_management().await;
        rabbit.ctl(&["add_user", "plain", "w0rd"]).await;
        let all = ["set_permissions", "-p", "/", "plain", ".*", ".*", ".*"];
        rabbit.ctl(&all).await;
        let url = |user: &str| {
            rabbit
                .management_url()
                .replacen("://", &format!("://{user}@"), 1)
        };
        let check = async |user: &str| {
            let words = ["topology", "--check", "--management", &url(user)];
            let mut process = Process::ringback(&words, [("A", "")]);
            assert!(!process.wait_exit(SOON).await.success());
            process.log()
        };
        let untagged = check("plain:w0rd").await;
        let expected = "the user plain lacks the tag `monitoring`: set it with \
                        `rabbitmqctl set_user_tags plain monitoring`";
        assert!(untagged.contains(expected), "{untagged}");
        let wrong = check("plain:other").await;
        assert!(wrong.contains("is the user's password right"), "{wrong}");
        rabbit.ctl(&["set_user_tags", "plain", "monitoring"]).await;
        let tagged = check("plain:w0rd").await;
        assert!(tagged.contains("the topology has"), "{tagged}");
        assert!(!format!("{untagged}{wrong}{tagged}").contains("w0rd"));
    });
}

#[test]
fn an_invalid_tls_file_prevents_the_start() {
    BrokerKind::must_be_rabbitmq();
    on_shared_runtime(async {
        let temp = TempDirectory::new("startup");
        let blank = temp.path().join("blank.pem").display().to_string();
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
                let mut process = errors_of(&temp, role, &variables);
                let ended = process.wait_exit(SOON).await;
                let output = process.log();
                assert!(!ended.success(), "{role} {files:?}: {output}");
                let sentence = sentence(&output);
                let begin = format!("{named}: ");
                assert!(sentence.contains(&begin), "{role} {files:?}: {output}");
                assert!(sentence.contains(reason), "{role} {files:?}: {output}");
                assert!(!output.contains("s3cret"), "{output}");
            }
        }
    });
}
