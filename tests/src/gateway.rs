//! How does a test run a whole gateway? One ingress, any number of dispatchers, real processes; or
//! one process that is all of it, on the embedded store.

mod answered;
mod door;
mod options;
mod questions;
mod queues;
mod store;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::ports::free_port;
use crate::taken::Taken;
use crate::{Ground, Postgres, http};
use queues::Queues;
use store::Store;

pub use answered::Answered;
pub use door::Door;
pub use options::GatewayOptions;

/// How long a process without work may take to stop.
const STOPPED: Duration = Duration::from_secs(20);

/// Which of the gateway's processes is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The ingress.
    Ingress,
    /// The dispatcher at this place in [`Gateway::dispatchers`]; on the embedded store the one
    /// process, whatever the place.
    Dispatcher(usize),
}

/// A gateway on a private broker under a prefix of its own, or on the embedded store in a directory
/// of its own. Its processes end when it is dropped; its queues go with the broker or directory.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// The door in; on the embedded store the one process, which is both doors.
    pub ingress: Door,
    /// The doors out; none on the embedded store. Remove one to end it (SIGKILL).
    pub dispatchers: Vec<Door>,
    prefix: String,
    queues: Queues<'a>,
    environment: BTreeMap<String, String>,
    ingress_environment: BTreeMap<String, String>,
    client: reqwest::Client,
}

impl<'a> Gateway<'a> {
    /// Starts the processes and waits until all are ready.
    ///
    /// # Panics
    /// When one does not become ready.
    pub async fn start(ground: impl Into<Ground<'a>>, options: GatewayOptions) -> Self {
        let prefix = format!("t{}", uuid::Uuid::now_v7().simple());
        let mut environment = BTreeMap::new();
        let mut set = |key: &str, value| environment.insert(key.to_owned(), value);
        let (queues, role, dispatchers) = match ground.into() {
            Ground::RabbitMq(rabbit) => {
                set("RINGBACK__BROKER__URL", rabbit.uri());
                set("RINGBACK__BROKER__PREFIX", prefix.clone());
                if options.journal {
                    let database = Postgres::shared().await.database().await;
                    set("RINGBACK__JOURNAL__URL", database);
                }
                let prefix = prefix.clone();
                let queues = Queues::RabbitMq { rabbit, prefix };
                (queues, "ingress", options.dispatchers)
            }
            Ground::Embedded => {
                let store = Store::new();
                let directory = store.directory().display().to_string();
                set("RINGBACK__BROKER__DATA_DIR", directory);
                (Queues::Embedded(store), "serve", 0)
            }
        };
        set("RINGBACK__RETRY__SCHEDULE", options.schedule);
        set("RINGBACK__GUARD__ALLOW", options.allow);
        // One target here stands for many, and fails on purpose; tests of the limits set them.
        set("RINGBACK__LIMITS__BREAKER_CALLS", "0".to_owned());
        set("RINGBACK__LIMITS__IN_FLIGHT", "256".to_owned());
        // A broker that shares two busy cores may be slow; tests of the deadline set it.
        set("RINGBACK__BROKER__PUBLISH_TIMEOUT", "15s".to_owned());
        environment.extend(options.environment);
        environment.retain(|key, _| !options.absent.contains(key));
        // Both roles at once: each may be the first to declare the topology.
        let mut ingress_environment = environment.clone();
        ingress_environment.extend(options.ingress_environment);
        let ingress = Door::open(role, free_address(), &ingress_environment);
        let dispatchers = (0..dispatchers)
            .map(|_| Door::open("dispatcher", free_address(), &environment))
            .collect();
        let client = http::client();
        let mut gateway = Self {
            ingress,
            dispatchers,
            prefix,
            queues,
            environment,
            ingress_environment,
            client,
        };
        gateway.wait_until_ready().await;
        gateway
    }

    /// Waits until all processes answer `/readyz` with 200.
    ///
    /// # Panics
    /// When one has ended or does not become ready.
    pub async fn wait_until_ready(&mut self) {
        let client = &self.client;
        for door in std::iter::once(&mut self.ingress).chain(&mut self.dispatchers) {
            door.wait_until_ready(client).await;
        }
    }

    /// All its processes.
    pub fn doors(&self) -> impl Iterator<Item = &Door> {
        std::iter::once(&self.ingress).chain(&self.dispatchers)
    }

    /// The processes that make attempts.
    pub fn doors_out(&mut self) -> &mut [Door] {
        match self.queues {
            Queues::RabbitMq { .. } => &mut self.dispatchers,
            Queues::Embedded(_) => std::slice::from_mut(&mut self.ingress),
        }
    }

    /// Starts the ingress (or the one process) again where it was, kills what is left of the old
    /// one, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart_ingress(&mut self) {
        self.ingress.process.kill9();
        let (role, address) = (self.ingress.role(), self.ingress.address);
        self.ingress = Door::open(role, address, &self.ingress_environment);
        self.ingress.wait_until_ready(&self.client).await;
    }

    /// Kills a dispatcher, starts another in its place, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart_dispatcher(&mut self, place: usize) {
        let door = Door::open("dispatcher", free_address(), &self.environment);
        self.dispatchers[place] = door;
        self.dispatchers[place].wait_until_ready(&self.client).await;
    }

    /// Starts one more dispatcher, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn add_dispatcher(&mut self) {
        let mut door = Door::open("dispatcher", free_address(), &self.environment);
        door.wait_until_ready(&self.client).await;
        self.dispatchers.push(door);
    }

    /// The variables that the ingress (or the one process) is given.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.ingress_environment
    }

    /// Where callers POST.
    pub fn callback_url(&self) -> String {
        format!("http://{}/api/callback", self.ingress.address)
    }

    /// POSTs a callback.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, callback: &Value) -> Answered {
        self.post_raw(
            callback.to_string(),
            &[("content-type", "application/json")],
        )
        .await
    }

    /// POSTs these very bytes with these headers and no others of our choosing.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post_raw(
        &self,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answered {
        let answered = self.try_post_raw(body, headers).await;
        answered.unwrap_or_else(|error| panic!("no answer from ingress: {error:?}"))
    }

    /// Like [`Gateway::post_raw`], for a test in which ingress may die.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn try_post_raw(
        &self,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answered> {
        let mut request = self.client.post(self.callback_url()).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(Answered {
            status,
            headers,
            body: response.bytes().await?,
        })
    }

    /// GETs a path of one of the processes: status and body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, role: Role, path: &str) -> (u16, String) {
        let address = match (role, &self.queues) {
            (Role::Ingress, _) | (_, Queues::Embedded(_)) => self.ingress.address,
            (Role::Dispatcher(place), Queues::RabbitMq { .. }) => self.dispatchers[place].address,
        };
        door::get(&self.client, address, path)
            .await
            .unwrap_or_else(|error| panic!("{role:?}: {error}"))
    }

    /// The metrics of one of the processes, as Prometheus reads them.
    ///
    /// # Panics
    /// When they are not to be had.
    pub async fn metrics(&self, role: Role) -> String {
        let (status, text) = self.get(role, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// How many messages are in the queue, for instance `first`, `retry`, `dead`: those that are
    /// ready, and in the embedded store those in hand as well.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn queue_depth(&self, queue: &str) -> u32 {
        self.queues.depth(queue).await.unwrap()
    }

    /// Every queue with such messages, by name, dead letters apart.
    ///
    /// # Errors
    /// In words, when the broker is not there.
    pub async fn depths(&self) -> Result<BTreeMap<String, u32>, String> {
        let mut depths = self.queues.depths().await?;
        depths.remove("dead");
        Ok(depths)
    }

    /// Takes the next message out of the queue for good. From the embedded store nothing can be
    /// taken: what was looked at once is not shown again.
    ///
    /// # Errors
    /// In words, when the queue or the broker is not there.
    pub async fn take(&self, queue: &str) -> Result<Option<Taken>, String> {
        self.queues.take(queue).await
    }

    /// Takes everything out of every queue, in the manner of [`Gateway::take`], with the queue's
    /// name. In the embedded store also what was taken before.
    ///
    /// # Panics
    /// When the broker is not there.
    pub async fn take_all(&self) -> Vec<(String, Taken)> {
        self.queues.take_all().await.unwrap()
    }

    /// Takes the next dead letter for good.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn get_dead(&self) -> Option<Taken> {
        self.take("dead").await.unwrap()
    }

    /// Lays bodies into a queue past the ingress: `first`, `unrouted` or `delivery_limit`.
    ///
    /// The embedded store takes them only while its process is away, which is stopped for it and
    /// started again: a test that plants has a gateway of its own, for its counters begin anew.
    ///
    /// # Panics
    /// When they cannot be laid there.
    pub async fn plant(&mut self, queue: &str, bodies: &[Vec<u8>]) {
        match &self.queues {
            Queues::RabbitMq { rabbit, .. } => {
                let (exchange, key) = match queue {
                    "first" => ("in", "first"),
                    "unrouted" => ("in", "no-such-key"),
                    "delivery_limit" => ("delivery_limit", ""),
                    other => panic!("nothing can be planted in {other}"),
                };
                for body in bodies {
                    let published = rabbit.publish(&self.name(exchange), key, body).await;
                    published.unwrap();
                }
            }
            Queues::Embedded(store) => {
                self.ingress.process.sigterm();
                let ended = self.ingress.process.wait_exit(STOPPED).await;
                assert_eq!(ended.code(), Some(0), "{ended}");
                store.plant(queue, bodies).unwrap();
                self.restart_ingress().await;
            }
        }
    }

    /// RabbitMQ's name for one of this gateway's queues or exchanges.
    pub fn name(&self, of: &str) -> String {
        format!("{}.{of}", self.prefix)
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}
