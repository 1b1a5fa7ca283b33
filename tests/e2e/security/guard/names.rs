//! The guard and names, whatever a name server answers.
//!
//! In these gateways 127.0.0.1 is admitted and stands for the public internet. All other addresses,
//! among them 127.0.0.2, are refused.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tests::targets::scripts;
use tests::{
    Dns, DnsAnswer, GatewayOptions, GatewayRole, SharedGateway, SharedGatewayUse, TestTarget,
    callback, eventually, on_shared_runtime,
};
use tokio::sync::OnceCell;

const SOON: Duration = Duration::from_secs(30);
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Named {
    fixture: SharedGateway,
    dns: Dns,
}

async fn start() -> Named {
    let dns = Dns::start().await;
    let fixture = SharedGateway::start(|_| {
        let options = GatewayOptions {
            allow: format!("{PUBLIC}/32"),
            // More retries than the short budget has, and time to change a name before the first.
            schedule: "5s,5s,5s,5s".to_owned(),
            ..GatewayOptions::default()
        };
        options.with(
            "RINGBACK__DISPATCHER__DNS_SERVERS",
            &dns.address().to_string(),
        )
    });
    Named {
        fixture: fixture.await,
        dns,
    }
}

async fn named() -> (SharedGatewayUse<'static>, &'static Dns) {
    static NAMED: OnceCell<Named> = OnceCell::const_new();
    let Named { fixture, dns } = NAMED.get_or_init(start).await;
    (fixture.in_test(), dns)
}

#[test]
fn a_name_with_an_admitted_address_is_called_by_its_name() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        dns.set("good.ringback.test", DnsAnswer::Addresses(vec![PUBLIC]));
        let host = format!("good.ringback.test:{}", fixture.callee.address.port());
        let id = fixture.send(&callback(&format!("http://{host}/ok"))).await;
        let received = fixture.received(&id, 1).await;
        assert_eq!(received[0].headers["host"], host);
        assert!(dns.asked("good.ringback.test") > 0);
    });
}

#[test]
fn a_name_that_does_not_exist_has_three_attempts() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        let id = fixture.send(&callback("http://none.ringback.test/")).await;
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["name_not_found"; 3]);
        assert_eq!(letter.reason(), "exhausted");
        assert!(dns.asked("none.ringback.test") > 0);
    });
}

#[test]
fn a_name_that_changes_to_an_internal_address_is_refused_at_the_next_attempt() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        let name = "flip.ringback.test";
        let target = TestTarget::raw(scripts::reset_before_head());
        let port = target.address().port();
        let inside = TestTarget::silent_on(SocketAddr::from((INSIDE, port)));
        dns.set(name, DnsAnswer::Addresses(vec![PUBLIC]));
        let id = fixture
            .send(&callback(&format!("http://{name}:{port}/")))
            .await;
        eventually("the first attempt", SOON, async || {
            (target.request_count() == 1).then_some(())
        })
        .await;
        dns.set(name, DnsAnswer::Addresses(vec![INSIDE]));
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["connection_reset", "address_refused"]);
        assert_eq!(letter.reason(), "address_refused");
        assert_eq!(inside.contacts(), (0, 0));
        assert_eq!(target.connections(), 1);
    });
}

#[test]
fn a_name_that_changes_between_check_and_call_is_not_called() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        for (name, then) in [
            ("turns.ringback.test", vec![INSIDE]),
            ("turns-too.ringback.test", vec![PUBLIC, INSIDE]),
            ("turns-back.ringback.test", vec![INSIDE, PUBLIC]),
        ] {
            let admitted = TestTarget::silent();
            let port = admitted.address().port();
            let inside = TestTarget::silent_on(SocketAddr::from((INSIDE, port)));
            // A pair for each attempt: the first answer is checked, the second one would be
            // dialled.
            dns.set(name, DnsAnswer::Rotating(vec![vec![PUBLIC], then]));
            let id = fixture
                .send(&callback(&format!("http://{name}:{port}/")))
                .await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["address_refused"], "{name}");
            // Otherwise it would be the same case as in the test before.
            assert_eq!(dns.asked_for_ipv4(name), 2, "{name}: asked once more");
            assert_eq!((admitted.contacts(), inside.contacts()), ((0, 0), (0, 0)));
        }
    });
}

#[test]
fn an_internal_address_embedded_in_ipv6_refuses_the_name() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        let port = fixture.callee.address.port();
        let inside = TestTarget::silent_on(SocketAddr::from((INSIDE, port)));
        let name = "six.ringback.test";
        let dressed = [
            "::1",
            "::ffff:127.0.0.2",
            "64:ff9b::7f00:2",
            "2002:7f00:2::1",
        ];
        for dressed in dressed.map(|it| it.parse().unwrap()) {
            for answer in [vec![dressed], vec![PUBLIC, dressed]] {
                let what = format!("{answer:?}");
                dns.set(name, DnsAnswer::Addresses(answer));
                let id = fixture
                    .send(&callback(&format!("http://{name}:{port}/ok")))
                    .await;
                let letter = fixture.dead_letter(&id).await;
                assert_eq!(letter.outcomes(), ["address_refused"], "{what}");
                assert_eq!(fixture.callee.requests.for_id(&id).len(), 0, "{what}");
            }
        }
        assert_eq!(inside.contacts(), (0, 0));
    });
}

#[test]
fn one_refused_address_refuses_the_whole_name() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        let name = "mixed.ringback.test";
        for mixed in [vec![PUBLIC, INSIDE], vec![INSIDE, PUBLIC]] {
            let admitted = TestTarget::silent();
            let port = admitted.address().port();
            let inside = TestTarget::silent_on(SocketAddr::from((INSIDE, port)));
            dns.set(name, DnsAnswer::Addresses(mixed));
            let id = fixture
                .send(&callback(&format!("http://{name}:{port}/")))
                .await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["address_refused"]);
            assert_eq!((admitted.contacts(), inside.contacts()), ((0, 0), (0, 0)));
        }
    });
}

#[test]
fn a_silent_resolver_defers_the_callback_and_spends_no_attempt() {
    on_shared_runtime(async {
        // A gateway of its own with a completely silent resolver: one that still resolves the root
        // answers.
        let Named { fixture, dns } = start().await;
        let fixture = fixture.in_test();
        let name = "silent.ringback.test";
        dns.set(name, DnsAnswer::Silence);
        dns.set("", DnsAnswer::Silence);
        let url = format!("http://{name}:{}/ok", fixture.callee.address.port());
        let id = fixture.send(&callback(&url)).await;
        let series = "ringback_deferrals_total{reason=\"resolver_down\"}";
        eventually(
            "the callback to be deferred twice",
            SOON,
            async || match fixture.metric(GatewayRole::Dispatcher(0), series).await {
                2.. => Ok(()),
                deferred => Err(format!("deferred {deferred} times")),
            },
        )
        .await;
        dns.set(name, DnsAnswer::Addresses(vec![PUBLIC]));
        let received = fixture.received(&id, 1).await;
        assert_eq!(received[0].attempt, Some(1));
    });
}

#[test]
fn one_silent_name_is_charged_while_the_resolver_answers_for_the_root() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        let name = "lame.ringback.test";
        dns.set(name, DnsAnswer::Silence);
        let mut request = callback(&format!("http://{name}/"));
        // Shorter than the resolver's timeout, which does not count for the target.
        request["options"] = serde_json::json!({ "max_attempts": 1, "timeout_seconds": 1 });
        let id = fixture.send(&request).await;
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["name_unresolved"]);
        // The cause has the resolver's own words, or says that it had none in time.
        let instances = fixture.gateway.instances();
        let logs: String = instances.map(|instance| instance.process.log()).collect();
        let mut lines = logs.lines().filter(|line| line.contains(&id));
        let words = ["(request timed out", "(no answer in time", "(IPv4: "];
        let told = lines.any(|line| words.iter().any(|words| line.contains(words)));
        assert!(told, "{logs}");
    });
}

/// Many name servers drop questions for IPv6 addresses.
#[test]
fn a_name_of_which_one_family_is_never_answered_is_called_at_once() {
    on_shared_runtime(async {
        let (fixture, dns) = named().await;
        let name = "drops-aaaa.ringback.test";
        dns.set(name, only_ipv4(vec![PUBLIC], None));
        let url = format!("http://{name}:{}/ok", fixture.callee.address.port());
        for _ in 0..3 {
            let mut request = callback(&url);
            request["options"] = serde_json::json!({ "max_attempts": 1 });
            let sent = Instant::now();
            let id = fixture.send(&request).await;
            let received = fixture.received(&id, 1).await;
            // The silent question alone takes 2 s to fail.
            let took = sent.elapsed();
            assert!(took < Duration::from_millis(1_500), "{took:?}");
            assert_eq!(received[0].attempt, Some(1));
        }
        assert!(dns.asked_for_ipv6(name) > 0, "it was not asked at all");
        // Silence is remembered: only the first attempt asks, and again after a second.
        let asked = dns.asked_for_ipv6(name);
        assert!(asked <= 4, "asked {asked} times");

        // The other way round: only IPv6 is answered, and judged like any address.
        let name = "drops-a.ringback.test";
        let only_ipv6 = DnsAnswer::Slow {
            addresses: vec!["::1".parse().unwrap(), PUBLIC],
            ipv4: None,
            ipv6: Some(Duration::ZERO),
        };
        dns.set(name, only_ipv6);
        let port = fixture.callee.address.port();
        let id = fixture
            .send(&callback(&format!("http://{name}:{port}/ok")))
            .await;
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["address_refused"]);
    });
}

#[test]
fn an_answer_that_comes_too_late_is_not_called_at_addresses_that_the_guard_has_not_judged() {
    on_shared_runtime(async {
        // A gateway of its own: letters that are waited for in vain belong to no other test.
        let Named { fixture, dns } = start().await;
        let fixture = fixture.in_test();
        let name = "late.ringback.test";
        let inside =
            TestTarget::silent_on(SocketAddr::from((INSIDE, fixture.callee.address.port())));
        let dressed = "::ffff:127.0.0.2".parse().unwrap();
        dns.set(
            name,
            only_ipv4(vec![PUBLIC, dressed], Some(Duration::from_millis(700))),
        );
        let url = format!("http://{name}:{}/ok", fixture.callee.address.port());
        let id = fixture.send(&callback(&url)).await;
        fixture.received(&id, 1).await;
        // Now it comes in time, and refuses the name.
        dns.set(name, DnsAnswer::Addresses(vec![PUBLIC, dressed]));
        eventually("the name to be refused", SOON, async || {
            let id = fixture.send(&callback(&url)).await;
            tokio::select! {
                letter = fixture.dead_letter(&id) => {
                    assert_eq!(letter.outcomes(), ["address_refused"]);
                    Ok(())
                }
                _ = fixture.received(&id, 1) => Err("delivered".to_owned()),
            }
        })
        .await;
        assert_eq!(inside.contacts(), (0, 0));
    });
}

/// Questions for IPv4 addresses are answered at once, and those for IPv6 this much later, or never.
fn only_ipv4(addresses: Vec<IpAddr>, ipv6: Option<Duration>) -> DnsAnswer {
    DnsAnswer::Slow {
        addresses,
        ipv4: Some(Duration::ZERO),
        ipv6,
    }
}
