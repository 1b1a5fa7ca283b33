//! What becomes of messages that are no messages, that nobody wanted, or that never end?

use contract::Message;
use tests::{Role, World, together};

use crate::shared::{message, own};

/// A message for the callee's `/ok`, and its bytes.
fn good(world: &World) -> (Message, Vec<u8>) {
    let message = message(&world.callee.url("/ok"));
    let bytes = message.encode().to_vec();
    (message, bytes)
}

#[test]
fn poison_is_set_aside_as_it_is_while_good_callbacks_flow() {
    together(async {
        let mut world = own().await;
        let (_, bytes) = good(&world);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let unknown = text.replacen(r#"{"v":1,"#, r#"{"v":99,"from":"the future","#, 1);
        let poison = [
            b"\x00\xff\xfe poison".to_vec(),
            b"".to_vec(),
            b"{}".to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
            unknown.into_bytes(),
        ];
        // Each of them with a good one behind it.
        let (mut planted, mut flowing) = (Vec::new(), Vec::new());
        for body in &poison {
            let (message, bytes) = good(&world);
            planted.extend([body.clone(), bytes]);
            flowing.push(message.request_id.to_string());
        }
        world.gateway.plant("first", &planted).await;
        for id in flowing {
            world.received(&id, 1).await;
        }
        for body in &poison {
            let taken = world.poison(body).await;
            assert_eq!(taken.header("ringback-from").as_deref(), Some("first"));
            let reason = taken.header("ringback-reason").unwrap();
            let newer = String::from_utf8_lossy(body).contains("the future");
            let expected = if newer {
                "the message has version 99, which this gateway does not know"
            } else {
                "the bytes are not a message: "
            };
            assert!(reason.starts_with(expected), "{reason}");
        }
        let series = "ringback_poison_total";
        let counted = world.metric(Role::Dispatcher(0), series).await;
        assert_eq!(counted, poison.len() as u64);
    });
}

#[test]
fn a_message_that_no_queue_wanted_is_put_back_and_delivered() {
    together(async {
        let mut world = own().await;
        let (message, bytes) = good(&world);
        let bodies = [bytes, b"unwanted".to_vec()];
        world.gateway.plant("unrouted", &bodies).await;
        let received = world.received(&message.request_id.to_string(), 1).await;
        assert_eq!(received[0].body.as_bytes(), message.request_message);
        let taken = world.poison(b"unwanted").await;
        assert_eq!(taken.header("ringback-from").as_deref(), Some("unrouted"));
        let series = "ringback_reinjected_total";
        assert_eq!(world.metric(Role::Dispatcher(0), series).await, 1);
    });
}

#[test]
fn a_message_at_its_delivery_limit_is_given_up_and_not_called() {
    together(async {
        let mut world = own().await;
        let (message, bytes) = good(&world);
        let bodies = [bytes, b"endless".to_vec()];
        world.gateway.plant("delivery_limit", &bodies).await;
        let id = message.request_id.to_string();
        let letter = world.dead_letter(&id).await;
        assert_eq!(letter.reason(), "delivery_limit");
        assert_eq!(letter.message, message);

        let taken = world.poison(b"endless").await;
        assert_eq!(
            taken.header("ringback-from").as_deref(),
            Some("delivery_limit")
        );
        // It would have come before this one.
        let later = world.send(&world.callback("/ok")).await;
        world.received(&later, 1).await;
        assert_eq!(world.callee.book.for_id(&id).len(), 0);
    });
}
