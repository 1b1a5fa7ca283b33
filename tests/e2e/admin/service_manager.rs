//! What the process tells systemd, and when.

use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{BrokerKind, BrokerUnderTest, Process, eventually, on_shared_runtime};

use super::startup::no_broker;

const SOON: Duration = Duration::from_secs(60);

/// The socket of a service manager, and what was sent to it.
struct NotifySocket {
    temp: TempDirectory,
    socket: UnixDatagram,
    /// The lines, in order.
    lines: Mutex<Vec<String>>,
}

impl NotifySocket {
    fn bind() -> Self {
        let temp = TempDirectory::new("notify");
        let socket = UnixDatagram::bind(temp.path().join("socket")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            temp,
            socket,
            lines: Mutex::default(),
        }
    }

    /// Starts a role that is told of this socket. Its watchdog must be fed every 4 s.
    fn start(&self, role: &str, variables: &[(&str, &str)]) -> Process {
        let socket = self.temp.path().join("socket").display().to_string();
        let listen = format!("127.0.0.1:{}", free_port());
        let mut environment = vec![
            ("NOTIFY_SOCKET", &*socket),
            ("WATCHDOG_USEC", "4000000"),
            ("RINGBACK__INGRESS__LISTEN", &*listen),
            ("RINGBACK__DISPATCHER__LISTEN", "127.0.0.1:0"),
        ];
        environment.extend(variables);
        Process::ringback(&[role], environment)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(bytes) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.clone()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|it| *it == line).count()
    }

    async fn says(&self, begin: &str, times: usize) {
        eventually(&format!("{times} of {begin}"), SOON, async || {
            let lines = self.lines();
            let found = lines.iter().filter(|line| line.starts_with(begin)).count();
            (found >= times).then_some(()).ok_or(lines.join("\n"))
        })
        .await;
    }
}

/// Waits until the process has stopped (SIGSTOP): the signal takes a moment.
async fn is_stopped(process: &Process) {
    let status = format!("/proc/{}/status", process.pid());
    eventually("a stopped process", SOON, async || {
        let status = std::fs::read_to_string(&status).unwrap();
        let stopped = status.contains("State:\tT");
        stopped.then_some(()).ok_or(status)
    })
    .await;
}

#[test]
fn systemd_is_told_when_the_process_is_ready_reloads_and_stops() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("service");
        let data = temp.path().join("data").display().to_string();
        let prefix = format!("n{}", uuid::Uuid::now_v7().simple());
        let (roles, variables) = match BrokerUnderTest::shared().await {
            BrokerUnderTest::RabbitMq(rabbit) => (
                &["ingress", "dispatcher", "admin"][..],
                vec![
                    ("RINGBACK__BROKER__URL", rabbit.uri()),
                    ("RINGBACK__BROKER__PREFIX", prefix),
                ],
            ),
            BrokerUnderTest::Embedded => {
                (&["serve"][..], vec![("RINGBACK__BROKER__DATA_DIR", data)])
            }
        };
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        for role in roles {
            let systemd = NotifySocket::bind();
            let mut process = systemd.start(role, &variables);
            systemd.says("READY=1", 1).await;
            systemd
                .says("STATUS=ready; broker: connected; journal: ", 1)
                .await;
            systemd.says("WATCHDOG=1", 3).await;
            assert_eq!(systemd.count("RELOADING=1"), 0, "{role}");
            assert_eq!(systemd.count("READY=1"), 1, "{role}");

            process.sighup();
            systemd.says("RELOADING=1", 1).await;
            systemd.says("READY=1", 2).await;
            let lines = systemd.lines();
            let at = |line: &str| lines.iter().rposition(|it| it == line).unwrap();
            assert!(at("RELOADING=1") < at("READY=1"), "{role}: {lines:?}");
            let time = &lines[at("RELOADING=1") + 1];
            assert!(time.starts_with("MONOTONIC_USEC="), "{role}: {lines:?}");

            // A process that hangs feeds no watchdog.
            process.freeze();
            is_stopped(&process).await;
            let fed = systemd.count("WATCHDOG=1");
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert_eq!(systemd.count("WATCHDOG=1"), fed, "{role}");
            process.thaw();
            systemd.says("WATCHDOG=1", fed + 1).await;

            process.sigterm();
            let ended = process.wait_exit(SOON).await;
            assert!(ended.success(), "{role}: {ended}");
            assert_eq!(systemd.count("STOPPING=1"), 1, "{role}");
            systemd.says("STATUS=stopping; ", 1).await;
        }
    });
}

#[test]
fn a_process_that_waits_for_its_broker_asks_for_more_time_and_is_not_ready() {
    if BrokerKind::chosen() != BrokerKind::RabbitMq {
        return; // The embedded store is never away.
    }
    on_shared_runtime(async {
        let systemd = NotifySocket::bind();
        let url = no_broker();
        let mut process = systemd.start("ingress", &[("RINGBACK__BROKER__URL", &url)]);
        systemd.says("EXTEND_TIMEOUT_USEC=60000000", 2).await;
        systemd
            .says("STATUS=not ready; broker: never connected", 1)
            .await;
        systemd.says("WATCHDOG=1", 2).await;
        // The end of a reload is not taken for readiness.
        process.sighup();
        eventually("the reload", SOON, async || {
            let log = process.log();
            log.contains("settings reloaded").then_some(()).ok_or(log)
        })
        .await;
        assert_eq!(systemd.count("READY=1"), 0);
        assert_eq!(systemd.count("RELOADING=1"), 0);
        assert!(!systemd.lines().join("\n").contains("s3cret"));
        process.sigterm();
        assert!(process.wait_exit(SOON).await.success());
        assert_eq!(systemd.count("STOPPING=1"), 1);
    });
}

#[test]
fn without_a_service_manager_nothing_changes() {
    on_shared_runtime(async {
        let systemd = NotifySocket::bind();
        let gone = systemd.temp.path().join("gone").display().to_string();
        let temp = TempDirectory::new("service");
        let data = temp.path().join("data").display().to_string();
        let variables = [
            ("NOTIFY_SOCKET", &*gone),
            ("RINGBACK__BROKER__DATA_DIR", &*data),
        ];
        let mut process = systemd.start("serve", &variables);
        let warning = "the service manager at NOTIFY_SOCKET cannot be told";
        eventually("the one warning", SOON, async || {
            let log = process.log();
            log.contains(warning).then_some(()).ok_or(log)
        })
        .await;
        process.sigterm();
        assert!(process.wait_exit(SOON).await.success());
        assert_eq!(process.log().matches(warning).count(), 1);
    });
}
