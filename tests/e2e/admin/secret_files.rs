//! Secrets that stand in files: read at the start and at each reload, and never shown.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use delivery::auth::KeyHash;
use serde_json::json;
use tests::cleanup::TempDirectory;
use tests::{
    BrokerKind, GatewayOptions, GatewayRole, Process, RabbitMq, SharedGateway, eventually, http,
    on_shared_runtime,
};

use super::startup::printed;

const SOON: Duration = Duration::from_secs(60);
const SUCCESS: &str = "ringback_config_reloads_total{result=\"success\"}";
const FAILURE: &str = "ringback_config_reloads_total{result=\"failure\"}";

/// A directory with files of secrets.
struct SecretFiles(TempDirectory);

impl SecretFiles {
    fn new() -> Self {
        Self(TempDirectory::new("secrets"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, secret: &str) {
        fs::write(self.path(name), format!("{secret}\n")).unwrap();
    }

    /// As the settings name it.
    fn reference(&self, name: &str) -> String {
        format!("file:{}", self.path(name).display())
    }
}

fn hash(key: &str) -> String {
    KeyHash::of(key.as_bytes()).to_string()
}

/// Tells a process to reload, and waits for the `count`th reload with this result. The process may
/// have noticed the change by itself.
async fn reload(fixture: &SharedGateway, role: GatewayRole, result: &str, count: u64) {
    let instance = match role {
        GatewayRole::Dispatcher(place) if !fixture.gateway.dispatchers.is_empty() => {
            &fixture.gateway.dispatchers[place]
        }
        _ => &fixture.gateway.ingress,
    };
    tests::cleanup::signal(instance.process.pid(), "HUP");
    eventually(result, SOON, async || {
        let figure = fixture.metric(role, result).await;
        (figure >= count).then_some(()).ok_or(figure.to_string())
    })
    .await;
}

#[test]
fn a_rotated_file_gives_a_caller_a_new_key_and_an_unusable_one_changes_nothing() {
    on_shared_runtime(async {
        let files = SecretFiles::new();
        files.write("app-key", &hash("rbk_first"));
        let fixture = SharedGateway::start(|_| {
            let options = GatewayOptions::default();
            let options = options.with_ingress("RINGBACK__AUTH__MODE", "bearer");
            options.with_ingress("RINGBACK__APPS__A__KEYS", &files.reference("app-key"))
        })
        .await;
        let mut callback = fixture.callback("/ok");
        callback["app_id"] = json!("A");
        let ask = async |key: &str| {
            let authorization = format!("Bearer {key}");
            let headers = [
                ("content-type", "application/json"),
                ("authorization", &*authorization),
            ];
            let answer = fixture.gateway.post_raw(callback.to_string(), &headers);
            answer.await.status
        };
        assert_eq!(ask("rbk_first").await, 200);
        files.write("app-key", &hash("rbk_second"));
        reload(&fixture, GatewayRole::Ingress, SUCCESS, 1).await;
        assert_eq!(ask("rbk_first").await, 401, "the old key");
        assert_eq!(ask("rbk_second").await, 200);

        let path = files.path("app-key").display().to_string();
        fs::write(files.path("app-key"), "\n").unwrap();
        reload(&fixture, GatewayRole::Ingress, FAILURE, 1).await;
        fs::remove_file(files.path("app-key")).unwrap();
        reload(&fixture, GatewayRole::Ingress, FAILURE, 2).await;
        assert_eq!(ask("rbk_second").await, 200, "the key in force");
        let log = fixture.gateway.ingress.process.log();
        for reason in ["is empty", "cannot be read: No such file or directory"] {
            let expected = format!("RINGBACK__APPS__A__KEYS: the file {path} {reason}");
            assert!(log.contains(&expected), "{expected} in {log}");
        }
        assert!(!log.contains(&hash("rbk_second")), "{log}");
    });
}

#[test]
fn a_rotated_file_gives_operators_a_new_token() {
    on_shared_runtime(async {
        let files = SecretFiles::new();
        files.write("token", "the-first-token-of-all");
        let fixture = SharedGateway::start(|_| {
            let options = GatewayOptions::default();
            options.with("RINGBACK__ADMIN__TOKEN", &files.reference("token"))
        })
        .await;
        let url = format!("{}/admin/v1/instances", fixture.gateway.admin_url());
        let ask = async |token: &str| {
            let request = http::client().get(&url).bearer_auth(token);
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(ask("the-first-token-of-all").await, 200);
        files.write("token", "the-second-token-of-all");
        reload(&fixture, GatewayRole::Dispatcher(0), SUCCESS, 1).await;
        assert_eq!(ask("the-first-token-of-all").await, 401);
        assert_eq!(ask("the-second-token-of-all").await, 200);
    });
}

#[test]
fn a_new_password_of_the_broker_is_used_by_the_next_connection() {
    if BrokerKind::chosen() != BrokerKind::RabbitMq {
        return; // The embedded store has none.
    }
    on_shared_runtime(async {
        let rabbit = RabbitMq::shared().await;
        let user = format!("u{}", uuid::Uuid::now_v7().simple());
        rabbit.ctl(&["add_user", &user, "first-password"]).await;
        let all = ["set_permissions", "-p", "/", &user, ".*", ".*", ".*"];
        rabbit.ctl(&all).await;
        let url = |password: &str| {
            let own = format!("{user}:{password}@");
            rabbit.uri().replacen("guest:guest@", &own, 1)
        };
        assert!(url("x").contains(&user), "{}", rabbit.uri());
        let files = SecretFiles::new();
        files.write("broker", &url("first-password"));
        let fixture = SharedGateway::start(|_| {
            let options = GatewayOptions::default();
            options.with("RINGBACK__BROKER__URL", &files.reference("broker"))
        })
        .await;
        let roles = [GatewayRole::Ingress, GatewayRole::Dispatcher(0)];
        rabbit
            .ctl(&["change_password", &user, "second-password"])
            .await;
        files.write("broker", &url("second-password"));
        for role in roles {
            reload(&fixture, role, SUCCESS, 1).await;
        }
        rabbit
            .ctl(&["close_all_user_connections", &user, "a test of rotation"])
            .await;
        for instance in fixture.gateway.instances() {
            let process = &instance.process;
            eventually("the loss of the connection", SOON, async || {
                let log = process.log();
                log.contains("broker connection down")
                    .then_some(())
                    .ok_or(log)
            })
            .await;
        }
        for role in roles {
            eventually("a new connection", SOON, async || {
                let (status, body) = fixture.gateway.get_details(role, "/readyz").await;
                let connected = status == 200 && body.contains(r#""broker":"connected""#);
                connected.then_some(()).ok_or(body)
            })
            .await;
        }
        let id = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&id, 1).await;
        for instance in fixture.gateway.instances() {
            let log = instance.process.log();
            assert!(!log.contains("-password"), "{log}");
            assert!(!log.contains("need a restart"), "{log}");
        }
    });
}

#[test]
fn printed_settings_show_where_a_secret_stands_and_not_the_secret() {
    on_shared_runtime(async {
        let files = SecretFiles::new();
        files.write("broker", "amqp://u:c4n4ry@h/v");
        files.write("journal", "postgres://u:c4n4ry@h/db");
        files.write("token", "c4n4ry-c4n4ry-c4n4ry");
        files.write("key", &hash("c4n4ry"));
        files.write("callee", "https://h.example/c4n4ry");
        let variables = [
            ("RINGBACK__BROKER__URL", files.reference("broker")),
            ("RINGBACK__JOURNAL__URL", files.reference("journal")),
            ("RINGBACK__ADMIN__TOKEN", files.reference("token")),
            ("RINGBACK__APPS__A__KEYS", files.reference("key")),
            ("RINGBACK__CALLEES__EO001__URL", files.reference("callee")),
        ];
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        let shown = printed(&["config"], &variables).await;
        for (variable, reference) in &variables {
            let key = variable.rsplit("__").next().unwrap().to_lowercase();
            let lines = [
                format!("{key} = \"{reference}\"\n"),
                format!("{key} = [\"{reference}\"]\n"),
            ];
            assert!(
                lines.iter().any(|line| shown.contains(line)),
                "{key}: {shown}"
            );
        }
        assert!(
            !shown.contains("c4n4ry") && !shown.contains(&hash("c4n4ry")),
            "{shown}"
        );
    });
}

#[test]
fn a_secret_file_that_cannot_be_used_prevents_the_start_by_its_key_and_path() {
    on_shared_runtime(async {
        let files = SecretFiles::new();
        fs::write(files.path("empty"), "\n").unwrap();
        fs::create_dir(files.path("directory")).unwrap();
        for (name, reason) in [
            ("missing", "cannot be read: No such file or directory"),
            ("empty", "is empty"),
            ("directory", "cannot be read: Is a directory"),
        ] {
            for (variable, key) in [
                ("RINGBACK__BROKER__URL", ""),
                ("RINGBACK__JOURNAL__URL", ""),
                ("RINGBACK__ADMIN__TOKEN", ""),
                ("RINGBACK__ADMIN__TOKENS__ann__HASH", ""),
                ("RINGBACK__APPS__A__KEYS", ""),
                ("RINGBACK__APPS__A__SECRETS", "apps.A.secrets"),
                (
                    "RINGBACK__APPS__A__SIGNING_SECRETS",
                    "apps.A.signing_secrets",
                ),
                ("RINGBACK__CALLEES__EO001__SECRET", "callees.EO001.secret"),
                (
                    "RINGBACK__CALLEES__EO001__SIGNING_SECRETS",
                    "callees.EO001.signing_secrets",
                ),
            ] {
                let reference = files.reference(name);
                let mut variables = vec![(variable, &*reference)];
                if key.starts_with("callees.") {
                    variables.push(("RINGBACK__CALLEES__EO001__URL", "https://h.example/"));
                }
                if key == "callees.EO001.secret" {
                    variables.push(("RINGBACK__CALLEES__EO001__AUTH", "bearer"));
                }
                let mut process = Process::ringback(&["config"], variables.iter().copied());
                let ended = process.wait_exit(SOON).await;
                let output = process.log();
                assert!(!ended.success(), "{variable} {name}: {output}");
                let path = files.path(name).display().to_string();
                for part in [variable, key, &path, reason] {
                    assert!(
                        output.contains(part),
                        "{variable} {name}: {part:?} in {output}"
                    );
                }
            }
        }
    });
}
