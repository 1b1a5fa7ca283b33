//! What each check says: the sentences that an operator reads on a bad day.

use std::time::Duration;

use ::broker::{ConnectionState, Depth, Depths};
use runtime::ProcessUsage;

use super::*;
use crate::doctor::facts::{
    BreakerFacts, CertificateFacts, DeadLetterFacts, DiskFacts, DueFacts, InstanceFacts,
    JournalFacts, NodeFacts, PauseFacts, QueueFacts, RefusedReload, Sample,
};
use crate::doctor::finding::{Finding, Severity};

const NOW: u64 = 1_763_900_000_000;
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn depths() -> Depths {
    let zero = Depth::fresh(0);
    Depths {
        first: zero,
        retry: zero,
        delivery_limit: zero,
        unrouted: zero,
        dead: zero,
        unreadable: zero,
        journal: zero,
        delayed: zero,
        ..Depths::default()
    }
}

/// A gateway on RabbitMQ in which all is well.
fn healthy() -> Facts {
    let instance = |name: &str, dispatches| InstanceFacts {
        name: name.to_owned(),
        dispatches,
        clock_offset_ms: 20,
        refused_settings: None,
    };
    Facts {
        now: NOW,
        publishing: ConnectionState::Connected,
        broker: "connected".to_owned(),
        topology: Some(String::new()),
        dispatches: true,
        journal: JournalFacts {
            state: "connected".to_owned(),
            dead_letters: Ok(DeadLetterFacts {
                all: 7,
                since_yesterday: 0,
            }),
            due: Ok(DueFacts::default()),
        },
        queues: QueueFacts {
            depths: depths(),
            before: vec![Sample {
                age: Duration::from_secs(300),
                backlog: 0,
                journal: 0,
            }],
        },
        disk: None,
        usage: ProcessUsage {
            resident_bytes: Some(100 << 20),
            memory_limit: Some(1 << 30),
            open_files: Some(100),
            open_files_limit: 1_024,
        },
        certificates: Ok(vec![CertificateFacts {
            host: "crm.example".to_owned(),
            callees: "EO001 乐居新房".to_owned(),
            not_after: Some(NOW + 90 * DAY),
        }]),
        refused_settings: None,
        instances: Some(vec![
            instance("ingress@a:1", false),
            instance("dispatcher@b:2", true),
        ]),
        silent: Vec::new(),
        breakers: Vec::new(),
        pauses: Ok(Vec::new()),
    }
}

/// The finding of this check after a change of a healthy gateway; all others must stay `ok`.
#[track_caller]
fn one(check: &str, change: impl FnOnce(&mut Facts)) -> Finding {
    let mut facts = healthy();
    change(&mut facts);
    let mut findings = examine(&facts);
    let position = findings.iter().position(|finding| finding.check == check);
    let found = findings.remove(position.unwrap());
    for other in findings {
        assert_eq!(other.severity, Severity::Ok, "{other:?}");
    }
    found
}

/// Whether the finding is a sentence in Chinese, and its next step too.
#[track_caller]
fn is_in_chinese(finding: &Finding) {
    let is_chinese = |text: &Option<String>| {
        let mut chars = text.iter().flat_map(|text| text.chars());
        chars.any(|char| ('\u{4e00}'..='\u{9fff}').contains(&char))
    };
    assert!(is_chinese(&finding.chinese), "{finding:?}");
    let has_next = finding.next.is_some();
    assert_eq!(is_chinese(&finding.next_chinese), has_next, "{finding:?}");
}

#[track_caller]
fn says(finding: &Finding, severity: Severity, words: &str) {
    assert_eq!(finding.severity, severity, "{finding:?}");
    // Those of nodes are found by the command alone.
    if finding.check != "broker nodes" {
        is_in_chinese(finding);
    }
    assert!(finding.sentence.contains(words), "{finding:?}");
    if severity >= Severity::Warning {
        assert!(finding.next.is_some(), "no next step: {finding:?}");
    }
}

#[test]
fn a_healthy_gateway_is_ok_throughout() {
    for finding in examine(&healthy()) {
        is_in_chinese(&finding);
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
        assert_eq!(finding.next, None, "{finding:?}");
    }
}

#[test]
fn a_broker_that_is_away_or_blocked_is_a_failure() {
    let gone = "connection refused (10.0.0.1:5672)";
    let mut facts = healthy();
    facts.publishing = ConnectionState::Disconnected(gone.to_owned());
    facts.broker = format!("disconnected: {gone}");
    let findings = examine(&facts);
    says(
        &findings[0],
        Severity::Failure,
        "the broker is unreachable: disconnected: connection refused (10.0.0.1:5672)",
    );
    says(&findings[1], Severity::Unknown, "without a connection");
    let blocked = one("broker", |facts| {
        facts.publishing = ConnectionState::Blocked("low on memory".to_owned());
    });
    says(
        &blocked,
        Severity::Failure,
        "RabbitMQ blocks publishers: low on memory; callers get 503",
    );
    let disk = one("broker", |facts| {
        facts.topology = None;
        facts.publishing = ConnectionState::Blocked("the disk of /data is full".to_owned());
    });
    says(
        &disk,
        Severity::Failure,
        "takes no new callbacks: the disk of /data",
    );
    let half = one("broker", |facts| {
        facts.broker = "publishing: connected; consuming: disconnected: gone".to_owned();
    });
    says(&half, Severity::Failure, "consuming: disconnected: gone");
    let hangs = one("broker", |facts| {
        let reason = "rabbit.example:5672: hangs in the AMQP handshake: no answer within 5 s";
        facts.publishing = ConnectionState::Connected;
        facts.broker = format!("publishing: connected; consuming: never connected: {reason}");
    });
    assert_eq!(hangs.runbook.as_deref(), Some("a-broker-that-hangs"));
    let fault = one("topology", |facts| {
        facts.topology = Some("missing: due".to_owned());
        facts.broker = "connected; missing: due".to_owned();
    });
    says(&fault, Severity::Failure, "at fault: missing: due");
    let nobody = one("consumers", |facts| {
        facts.instances.as_mut().unwrap().pop();
    });
    says(&nobody, Severity::Failure, "no dispatcher answers");
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    let mut facts = healthy();
    facts.dispatches = false;
    facts.instances = None;
    facts.certificates = Err("no process that calls targets has answered".to_owned());
    facts.queues = QueueFacts::default();
    facts.usage = ProcessUsage::default();
    facts.journal.dead_letters = Err("no answer within 2 s".to_owned());
    facts.journal.due = Err("no answer within 2 s".to_owned());
    facts.pauses = Err("no answer within 2 s".to_owned());
    let unknown: Vec<String> = examine(&facts)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Unknown)
        .map(|finding| finding.check.into_owned())
        .collect();
    let expected = [
        "consumers",
        "journal backlog",
        "queues",
        "oldest due",
        "dead letters",
        "unreadable",
        "rescue",
        "pauses",
        "certificates",
        "processes",
        "clocks",
        "memory",
        "files",
    ];
    assert_eq!(unknown, expected);
}

#[test]
fn the_state_of_the_journal_leads_to_its_section_of_the_runbook() {
    for (state, severity, words, anchor) in [
        (
            "unreachable: connection refused (db:5432)",
            Severity::Failure,
            "it is unreachable: unreachable: connection refused (db:5432)",
            Some("the-journal-is-unreachable"),
        ),
        (
            "writes have failed for 40 s: read-only (25006)",
            Severity::Failure,
            "it takes no writes",
            Some("the-journal-takes-no-writes"),
        ),
        (
            "incompatible: the database has version 9",
            Severity::Failure,
            "version 9",
            None,
        ),
        ("none", Severity::Warning, "there is no journal", None),
    ] {
        let found = one("journal", |facts| facts.journal.state = state.to_owned());
        says(&found, severity, words);
        assert_eq!(found.runbook.as_deref(), anchor);
    }
    let none = one("journal", |facts| facts.journal.state = "none".to_owned());
    assert!(none.sentence.ends_with("answer 501"), "{none:?}");
    assert!(none.next.unwrap().starts_with("set journal.url"));
    let behind = one("journal backlog", |facts| {
        facts.queues.depths.journal = Depth::fresh(5_000);
    });
    says(&behind, Severity::Warning, "5,000 batches of records wait");
    let catching_up = one("journal backlog", |facts| {
        facts.queues.depths.journal = Depth::fresh(5_000);
        facts.queues.before[0].journal = 9_000;
    });
    assert!(
        catching_up.sentence.contains("it catches up"),
        "{catching_up:?}"
    );
}

#[test]
fn growing_queues_and_late_callbacks_are_warnings() {
    let grows = one("queues", |facts| {
        facts.queues.depths.first = Depth::fresh(1_500);
        facts.queues.before[0].backlog = 300;
    });
    says(
        &grows,
        Severity::Warning,
        "1,500 due callbacks wait (1,500 first attempts, 0 retries), 300 5m before: the queues grow",
    );
    let steady = one("queues", |facts| {
        facts.queues.depths.first = Depth::fresh(1_500);
        facts.queues.before[0].backlog = 1_400;
    });
    says(&steady, Severity::Ok, "1,400 5m before");
    let late = one("oldest due", |facts| {
        facts.journal.due = Ok(DueFacts {
            oldest: Some(("0199".to_owned(), NOW - 720_000)),
            overdue: 3,
        });
    });
    says(
        &late,
        Severity::Warning,
        "0199 (and 2 others) has been due for 12m",
    );
    let dead = one("dead letters", |facts| {
        facts.journal.dead_letters = Ok(DeadLetterFacts {
            all: 1_112,
            since_yesterday: 37,
        });
    });
    says(
        &dead,
        Severity::Warning,
        "37 since yesterday (1,112 in all)",
    );
    let unreadable = one("unreadable", |facts| {
        facts.queues.depths.unreadable = Depth::fresh(1);
    });
    says(
        &unreadable,
        Severity::Warning,
        "1 message cannot be decoded",
    );
    let unrouted = one("rescue", |facts| {
        facts.queues.depths.unrouted = Depth::fresh(3);
    });
    says(&unrouted, Severity::Failure, "a binding is missing");
}

#[test]
fn a_certificate_that_expires_within_two_weeks_is_named_with_its_callee() {
    let expiring = |days: u64| {
        one("certificates", |facts| {
            let certificates = facts.certificates.as_mut().unwrap();
            certificates[0].not_after = Some(NOW - DAY + days * DAY);
            certificates.push(CertificateFacts {
                host: "far.example".to_owned(),
                callees: "EO002".to_owned(),
                not_after: Some(NOW + 90 * DAY),
            });
        })
    };
    let soon = expiring(14);
    says(
        &soon,
        Severity::Warning,
        "crm.example (EO001 乐居新房) expires at 2025-12-06T12:13:20.000Z, in 13 days",
    );
    assert_eq!(expiring(15).severity, Severity::Ok);
    says(
        &expiring(0),
        Severity::Failure,
        "crm.example (EO001 乐居新房) expired at 2025-11-22T12:13:20.000Z",
    );
    let unseen = one("certificates", |facts| {
        facts.certificates.as_mut().unwrap()[0].not_after = None;
    });
    says(&unseen, Severity::Unknown, "no handshake");
    let several = one("certificates", |facts| {
        let certificates = facts.certificates.as_mut().unwrap();
        certificates[0].not_after = Some(NOW + DAY);
        let mut second = certificates[0].clone();
        second.callees = "EO002 易楼".to_owned();
        second.not_after = Some(NOW + DAY / 2);
        certificates.push(second);
    });
    says(&several, Severity::Warning, "(EO002 易楼) expires at ");
    says(
        &several,
        Severity::Warning,
        "in less than a day; crm.example",
    );
    says(&several, Severity::Warning, "in 1 day");
}

#[test]
fn refused_settings_skewed_clocks_and_full_resources_are_named_with_their_process() {
    let refused = one("settings", |facts| {
        facts.refused_settings = Some(RefusedReload {
            at: NOW,
            reason: "retry.schedule: soon is not a duration".to_owned(),
        });
    });
    says(
        &refused,
        Severity::Failure,
        "this process, at 2025-11-23T12:13:20.000Z: retry.schedule",
    );
    let skewed = one("clocks", |facts| {
        facts.instances.as_mut().unwrap()[0].clock_offset_ms = -7_400;
    });
    says(&skewed, Severity::Warning, "ingress@a:1 is 7 s behind");
    let memory = one("memory", |facts| {
        facts.usage.resident_bytes = Some(900 << 20);
    });
    says(&memory, Severity::Warning, "900 MiB of 1,024 MiB (87 %)");
    let files = one("files", |facts| facts.usage.open_files = Some(1_000));
    says(&files, Severity::Warning, "1,000 of 1,024 files");
    let disk = |free: u64| {
        one("disk", move |facts| {
            facts.disk = Some(DiskFacts {
                free: free << 20,
                floor: 256 << 20,
            });
        })
    };
    says(&disk(100), Severity::Failure, "new callbacks are refused");
    says(&disk(300), Severity::Warning, "300 MiB are free");
    says(&disk(900), Severity::Ok, "900 MiB are free");
    let breaker = one("targets", |facts| {
        facts.breakers = vec![BreakerFacts {
            name: "EO001".to_owned(),
            state: "open".to_owned(),
            apps: 0,
            app_ids: Vec::new(),
            reason: Some("5 of 8 calls failed".to_owned()),
            probe_in: Some(Duration::from_secs(12)),
        }];
    });
    says(
        &breaker,
        Severity::Warning,
        "failing: EO001 (open: 5 of 8 calls failed, probes in 12s)",
    );
    let paused = |since| {
        one("pauses", |facts| {
            facts.pauses = Ok(vec![PauseFacts {
                name: "callee EO001".to_owned(),
                by: "ann".to_owned(),
                since,
                reason: "migration".to_owned(),
            }]);
        })
    };
    says(
        &paused(NOW - 60_000),
        Severity::Ok,
        "callee EO001 for 1m by ann: migration",
    );
    assert_eq!(paused(NOW - 2 * DAY).severity, Severity::Warning);
}

#[test]
fn the_operators_clock_is_compared_within_the_round_trip() {
    for (sent, received, process, severity, words) in [
        (1_000, 9_000, 5_000, Severity::Ok, "agree"),
        (9_000, 9_100, 7_500, Severity::Ok, "agree"),
        (
            9_000,
            9_100,
            1_000,
            Severity::Warning,
            "is 8 s ahead of the process",
        ),
        (
            9_000,
            9_100,
            19_100,
            Severity::Warning,
            "is 10 s behind the process",
        ),
    ] {
        let found = clocks::operator_clock(sent, received, process);
        says(&found, severity, words);
    }
}

#[test]
fn a_node_without_descriptors_or_with_an_alarm_is_a_failure() {
    let node = NodeFacts {
        name: "rabbit@a".to_owned(),
        running: Some(true),
        files: Some((500, 65_536)),
        memory: Some((100 << 20, 400 << 20)),
        memory_alarm: Some(false),
        disk: Some((9 << 30, 50 << 20)),
        disk_alarm: Some(false),
    };
    let examine = |node: NodeFacts| nodes::examine_nodes(&[node]).remove(0);
    says(
        &examine(node.clone()),
        Severity::Ok,
        "rabbit@a: 500 of 65,536 descriptors, 100 MiB of 400 MiB memory, 9,216 MiB disk free \
         (limit 50 MiB)",
    );
    let full = NodeFacts {
        files: Some((1_024, 1_024)),
        ..node.clone()
    };
    let found = examine(full);
    says(
        &found,
        Severity::Failure,
        "rabbit@a is out of file descriptors (1,024 of 1,024",
    );
    assert_eq!(found.runbook.as_deref(), Some("a-broker-that-hangs"));
    let nearly = NodeFacts {
        files: Some((1_000, 1_024)),
        ..node.clone()
    };
    says(
        &examine(nearly),
        Severity::Warning,
        "1,000 of 1,024 descriptors",
    );
    let alarm = NodeFacts {
        memory_alarm: Some(true),
        ..node.clone()
    };
    says(&examine(alarm), Severity::Failure, "rabbit@a: memory alarm");
    let stopped = NodeFacts {
        running: Some(false),
        ..node
    };
    says(
        &examine(stopped),
        Severity::Failure,
        "rabbit@a does not run",
    );
}

const RUNBOOK: &str = include_str!("../../../../../docs/runbook.md");

#[test]
fn every_section_that_a_finding_names_is_in_the_runbook() {
    let sources = [
        include_str!("broker.rs"),
        include_str!("certificates.rs"),
        include_str!("clocks.rs"),
        include_str!("journal.rs"),
        include_str!("nodes.rs"),
        include_str!("process.rs"),
        include_str!("queues.rs"),
        include_str!("targets.rs"),
    ];
    let anchor_of = |line: &str| {
        line.strip_prefix("## ")
            .map(|it| it.to_lowercase().replace(' ', "-"))
    };
    let anchors: Vec<String> = RUNBOOK.lines().filter_map(anchor_of).collect();
    for source in sources {
        for rest in source.split(".runbook(\"").skip(1) {
            let anchor = rest.split('"').next().unwrap().to_owned();
            assert!(anchors.contains(&anchor), "{anchor}");
        }
    }
}
