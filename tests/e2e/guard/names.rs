//! What does the guard make of names, whatever a name server says of them?
//!
//! In these gateways 127.0.0.1 is admitted and stands for the public internet; all other addresses,
//! 127.0.0.2 among them, are refused.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tests::{
    Dns, GatewayOptions, Mode, Role, Rough, Says, Trap, Visit, World, callback, eventually,
    together,
};
use tokio::sync::OnceCell;

const SOON: Duration = Duration::from_secs(30);
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Named {
    world: World,
    dns: Dns,
}

async fn start() -> Named {
    let dns = Dns::start().await;
    let world = World::start(|_| {
        let options = GatewayOptions {
            allow: format!("{PUBLIC}/32"),
            // More retries than the short budget has, and time to turn a name before the first.
            schedule: "5s,5s,5s,5s".to_owned(),
            ..GatewayOptions::default()
        };
        options.with(
            "RINGBACK__DISPATCHER__DNS_SERVERS",
            &dns.address().to_string(),
        )
    });
    Named {
        world: world.await,
        dns,
    }
}

async fn named() -> (Visit<'static>, &'static Dns) {
    static NAMED: OnceCell<Named> = OnceCell::const_new();
    let Named { world, dns } = NAMED.get_or_init(start).await;
    (world.visit(), dns)
}

#[test]
fn a_name_with_an_admitted_address_is_called_by_its_name() {
    together(async {
        let (world, dns) = named().await;
        dns.set("good.ringback.test", Says::Addresses(vec![PUBLIC]));
        let host = format!("good.ringback.test:{}", world.callee.address.port());
        let id = world.send(&callback(&format!("http://{host}/ok"))).await;
        let received = world.received(&id, 1).await;
        assert_eq!(received[0].headers["host"], host);
        assert!(dns.asked("good.ringback.test") > 0);
    });
}

#[test]
fn a_name_that_does_not_exist_has_three_attempts() {
    together(async {
        let (world, dns) = named().await;
        let id = world.send(&callback("http://none.ringback.test/")).await;
        let letter = world.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["name_not_found"; 3]);
        assert_eq!(letter.reason(), "exhausted");
        assert!(dns.asked("none.ringback.test") > 0);
    });
}

#[test]
fn a_name_that_turns_inwards_is_refused_at_the_next_attempt() {
    together(async {
        let (world, dns) = named().await;
        let name = "flip.ringback.test";
        let target = Rough::start(Mode::ResetBeforeHead).await;
        let port = target.address().port();
        let inside = Trap::start_on(SocketAddr::from((INSIDE, port))).await;
        dns.set(name, Says::Addresses(vec![PUBLIC]));
        let id = world
            .send(&callback(&format!("http://{name}:{port}/")))
            .await;
        eventually("the first attempt", SOON, async || {
            (target.requests() == 1).then_some(())
        })
        .await;
        dns.set(name, Says::Addresses(vec![INSIDE]));
        let letter = world.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["connection_reset", "address_refused"]);
        assert_eq!(letter.reason(), "address_refused");
        assert_eq!(inside.caught(), (0, 0));
        assert_eq!(target.connections(), 1);
    });
}

#[test]
fn a_name_that_turns_inwards_between_the_look_and_the_call_is_not_called_there() {
    together(async {
        let (world, dns) = named().await;
        for (name, then) in [
            ("turns.ringback.test", vec![INSIDE]),
            ("turns-too.ringback.test", vec![PUBLIC, INSIDE]),
            ("turns-back.ringback.test", vec![INSIDE, PUBLIC]),
        ] {
            let admitted = Trap::start().await;
            let port = admitted.address().port();
            let inside = Trap::start_on(SocketAddr::from((INSIDE, port))).await;
            // A pair for each attempt: the first is vetted, the second would be dialled.
            dns.set(name, Says::Turns(vec![vec![PUBLIC], then]));
            let id = world
                .send(&callback(&format!("http://{name}:{port}/")))
                .await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["address_refused"], "{name}");
            // Else it would be the case of the test before.
            assert_eq!(dns.asked_for_ipv4(name), 2, "{name}: asked once more");
            assert_eq!((admitted.caught(), inside.caught()), ((0, 0), (0, 0)));
        }
    });
}

#[test]
fn an_inside_address_dressed_as_ipv6_refuses_the_name() {
    together(async {
        let (world, dns) = named().await;
        let port = world.callee.address.port();
        let inside = Trap::start_on(SocketAddr::from((INSIDE, port))).await;
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
                dns.set(name, Says::Addresses(answer));
                let id = world
                    .send(&callback(&format!("http://{name}:{port}/ok")))
                    .await;
                let letter = world.dead_letter(&id).await;
                assert_eq!(letter.outcomes(), ["address_refused"], "{what}");
                assert_eq!(world.callee.book.for_id(&id).len(), 0, "{what}");
            }
        }
        assert_eq!(inside.caught(), (0, 0));
    });
}

#[test]
fn one_refused_address_refuses_the_whole_name() {
    together(async {
        let (world, dns) = named().await;
        let name = "mixed.ringback.test";
        for mixed in [vec![PUBLIC, INSIDE], vec![INSIDE, PUBLIC]] {
            let admitted = Trap::start().await;
            let port = admitted.address().port();
            let inside = Trap::start_on(SocketAddr::from((INSIDE, port))).await;
            dns.set(name, Says::Addresses(mixed));
            let id = world
                .send(&callback(&format!("http://{name}:{port}/")))
                .await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["address_refused"]);
            assert_eq!((admitted.caught(), inside.caught()), ((0, 0), (0, 0)));
        }
    });
}

#[test]
fn a_silent_resolver_parks_the_callback_and_spends_no_attempt() {
    together(async {
        // Of its own, and silent for everybody: one that can still tell where the root is answers.
        let Named { world, dns } = start().await;
        let world = world.visit();
        let name = "silent.ringback.test";
        dns.set(name, Says::Silence);
        dns.set("", Says::Silence);
        let url = format!("http://{name}:{}/ok", world.callee.address.port());
        let id = world.send(&callback(&url)).await;
        let series = "ringback_parked_total{reason=\"resolver_down\"}";
        eventually(
            "the callback to be parked twice",
            SOON,
            async || match world.metric(Role::Dispatcher(0), series).await {
                2.. => Ok(()),
                parked => Err(format!("parked {parked} times")),
            },
        )
        .await;
        dns.set(name, Says::Addresses(vec![PUBLIC]));
        let received = world.received(&id, 1).await;
        assert_eq!(received[0].attempt, Some(1));
    });
}

#[test]
fn one_silent_name_is_charged_while_the_resolver_answers_for_the_root() {
    together(async {
        let (world, dns) = named().await;
        let name = "lame.ringback.test";
        dns.set(name, Says::Silence);
        let mut request = callback(&format!("http://{name}/"));
        // Shorter than the resolver takes: its time is not the target's.
        request["options"] = serde_json::json!({ "max_attempts": 1, "timeout_seconds": 1 });
        let letter = world.dead_letter(&world.send(&request).await).await;
        assert_eq!(letter.outcomes(), ["name_unresolved"]);
    });
}
