//! RabbitMQ passes the broker's conformance suite, also when its node is killed.

use broker::conformance::{BrokerFixture, exercise, exercise_crash};
use broker::{Broker, BrokerMessage, ConnectionState, RabbitMqOptions};
use std::time::Duration;
use tests::{RabbitMq, eventually};

const SOON: Duration = Duration::from_secs(30);

struct OnRabbit(RabbitMq);

impl BrokerFixture for OnRabbit {
    async fn open(&self, name: &str) -> Broker {
        let mut settings = RabbitMqOptions::new(&self.0.uri()).unwrap();
        settings.prefix = format!("conformance.{name}");
        // The time of a confirm is not part of the suite, and these are many queues.
        settings.publish_timeout = SOON;
        Broker::start(settings).unwrap()
    }

    async fn crash(&self) {
        // RabbitMQ 3.10 loses queues that were declared within about a second before a kill -9.
        self.0.flush_declarations().await;
        self.0.kill().await;
        self.0.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_passes_the_conformance_suite() {
    // A node of its own: seventeen topologies are 459 quorum queues.
    exercise(&OnRabbit(RabbitMq::start().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_loses_nothing_when_its_node_is_killed() {
    exercise_crash(&OnRabbit(RabbitMq::start().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_queue_is_deleted_when_nobody_consumes_it() {
    let rabbit = RabbitMq::shared().await;
    let mut settings = RabbitMqOptions::new(&rabbit.uri()).unwrap();
    settings.prefix = "asker".to_owned();
    let broker = Broker::start(settings).unwrap();
    let replies = broker.replies();
    let mut address = replies.address();
    let queue = address.wait_for(Option::is_some).await.unwrap().clone();
    let queue = queue.unwrap();
    let names = || rabbit.ctl(&["list_queues", "name"]);
    assert!(names().await.contains(&queue));
    drop(replies);
    eventually("no queue of replies", SOON, async || {
        let named = names().await;
        if named.contains(&queue) {
            return Err(named);
        }
        Ok(())
    })
    .await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_for_replies_everything_else_works() {
    let rabbit = RabbitMq::shared().await;
    let mut settings = RabbitMqOptions::new(&rabbit.uri()).unwrap();
    settings.prefix = "deaf".to_owned();
    let owner = Broker::start(settings.clone()).unwrap();
    let connected = |state: &ConnectionState| *state == ConnectionState::Connected;
    owner.publishing().wait_for(connected).await.unwrap();
    owner.close().await;

    rabbit.ctl(&["add_user", "deaf", "deaf"]).await;
    let rights = ["^$", "^deaf\\.", "^deaf\\."];
    let [configure, write, read] = rights;
    let arguments = ["set_permissions", "deaf", configure, write, read];
    rabbit.ctl(&arguments).await;
    let uri = rabbit.uri().replace("guest:guest", "deaf:deaf");
    let mut settings = RabbitMqOptions::new(&uri).unwrap();
    settings.prefix = "deaf".to_owned();
    settings.declare = false;
    let broker = Broker::start(settings).unwrap();
    let mut state = broker.publishing();
    state.wait_for(connected).await.unwrap();
    state.mark_unchanged();
    let mut replies = broker.replies();
    let heard = tokio::time::timeout(Duration::from_secs(1), replies.next()).await;
    assert!(heard.is_err());
    assert!(replies.address().borrow().is_none());
    broker.reply("deaf.reply.0".to_owned(), "to nobody".into());
    let message = BrokerMessage {
        id: "deaf".to_owned(),
        kind: "test",
        headers: Vec::new(),
        body: "work".into(),
    };
    broker.publish(message).await.unwrap();
    assert!(!state.has_changed().unwrap(), "{:?}", *state.borrow());
    broker.close().await;
}
