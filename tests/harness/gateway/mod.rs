//! A whole gateway of real processes: one ingress and any number of dispatchers, or one process on
//! the embedded store.
//!
//! - `instance.rs`: one running process
//! - `options.rs`: what a test configures
//! - `requests.rs`, `response.rs`: requests of callers and operators, and the answers
//! - `queues.rs`, `store.rs`: the queues and the embedded store, seen from outside

mod instance;
mod options;
mod queues;
mod requests;
mod response;
mod store;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::ports::free_port;
use crate::queue_message::QueueMessage;
use crate::{BrokerUnderTest, Postgres, http};
use instance::Program;
use queues::Queues;
use store::Store;

pub use instance::Instance;
pub use options::GatewayOptions;
pub use response::GatewayResponse;

/// How long a process without work may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// One of the gateway's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayRole {
    /// The ingress.
    Ingress,
    /// The dispatcher at this index in [`Gateway::dispatchers`]; on the embedded store always the
    /// one process.
    Dispatcher(usize),
}

/// A gateway on a private broker with its own prefix, or on the embedded store in its own
/// directory. Its processes end when it is dropped; its queues are removed with the broker or the
/// directory.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// The ingress; on the embedded store the one process, which is ingress and dispatcher.
    pub ingress: Instance,
    /// The dispatchers; none on the embedded store. Removing one kills it (SIGKILL).
    pub dispatchers: Vec<Instance>,
    prefix: String,
    queues: Queues<'a>,
    environment: BTreeMap<String, String>,
    ingress_environment: BTreeMap<String, String>,
    program: Program,
    client: reqwest::Client,
}

impl<'a> Gateway<'a> {
    /// Starts the processes and waits until all are ready.
    ///
    /// # Panics
    /// When one does not become ready.
    pub async fn start(broker: impl Into<BrokerUnderTest<'a>>, options: GatewayOptions) -> Self {
        let prefix = format!("t{}", uuid::Uuid::now_v7().simple());
        let mut environment = BTreeMap::new();
        let mut set = |key: &str, value| environment.insert(key.to_owned(), value);
        let (queues, role, dispatchers) = match broker.into() {
            BrokerUnderTest::RabbitMq(rabbit) => {
                set("RINGBACK__BROKER__URL", rabbit.uris());
                set("RINGBACK__BROKER__PREFIX", prefix.clone());
                if options.journal {
                    let database = Postgres::shared().await.database().await;
                    set("RINGBACK__JOURNAL__URL", database);
                }
                let prefix = prefix.clone();
                let queues = Queues::RabbitMq { rabbit, prefix };
                (queues, "ingress", options.dispatchers)
            }
            BrokerUnderTest::Embedded => {
                let store = Store::new();
                let directory = store.directory().display().to_string();
                set("RINGBACK__BROKER__DATA_DIR", directory);
                (Queues::Embedded(store), "serve", 0)
            }
        };
        set("RINGBACK__RETRY__SCHEDULE", options.schedule);
        set("RINGBACK__GUARD__ALLOW", options.allow);
        // One target stands for many here, and fails on purpose. Tests of the limits set them.
        set("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "0".to_owned());
        set("RINGBACK__LIMITS__IN_FLIGHT", "256".to_owned());
        // Tests count what is in the queues. The test of the canary sets it.
        set("RINGBACK__INGRESS__CANARY", "false".to_owned());
        // A broker that shares two busy cores may be slow. Tests of the timeout set it.
        set("RINGBACK__BROKER__PUBLISH_TIMEOUT", "15s".to_owned());
        environment.extend(options.environment);
        environment.retain(|key, _| !options.absent.contains(key));
        // Both roles start at once: each may be the first to declare the topology.
        let mut ingress_environment = environment.clone();
        ingress_environment.extend(options.ingress_environment);
        let program = Program {
            binary: options.binary,
            open_files: options.open_files,
        };
        let ingress = Instance::start(role, free_address(), &ingress_environment, &program);
        let dispatchers = (0..dispatchers)
            .map(|_| Instance::start("dispatcher", free_address(), &environment, &program))
            .collect();
        let client = http::client();
        let mut gateway = Self {
            ingress,
            dispatchers,
            prefix,
            queues,
            environment,
            ingress_environment,
            program,
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
        for instance in std::iter::once(&mut self.ingress).chain(&mut self.dispatchers) {
            instance.wait_until_ready(client).await;
        }
    }

    /// All its processes.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        std::iter::once(&self.ingress).chain(&self.dispatchers)
    }

    /// The processes that make attempts.
    pub fn dispatching_instances(&mut self) -> &mut [Instance] {
        match self.queues {
            Queues::RabbitMq { .. } => &mut self.dispatchers,
            Queues::Embedded(_) => std::slice::from_mut(&mut self.ingress),
        }
    }

    /// Kills the ingress (or the one process), starts it again at the same address, and waits until
    /// it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart_ingress(&mut self) {
        self.ingress.process.kill9();
        let (role, address) = (self.ingress.role(), self.ingress.address);
        self.ingress = Instance::start(role, address, &self.ingress_environment, &self.program);
        self.ingress.wait_until_ready(&self.client).await;
    }

    /// Kills a dispatcher, starts another one instead, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart_dispatcher(&mut self, place: usize) {
        let instance = Instance::start(
            "dispatcher",
            free_address(),
            &self.environment,
            &self.program,
        );
        self.dispatchers[place] = instance;
        self.dispatchers[place].wait_until_ready(&self.client).await;
    }

    /// Starts one more dispatcher, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn add_dispatcher(&mut self) {
        let mut instance = Instance::start(
            "dispatcher",
            free_address(),
            &self.environment,
            &self.program,
        );
        instance.wait_until_ready(&self.client).await;
        self.dispatchers.push(instance);
    }

    /// Starts one more process of this role, and waits until it is ready. It ends when it is dropped.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_instance(&self, role: &'static str) -> Instance {
        let environment = match role {
            "ingress" => &self.ingress_environment,
            _ => &self.environment,
        };
        let mut instance = Instance::start(role, free_address(), environment, &self.program);
        instance.wait_until_ready(&self.client).await;
        instance
    }

    /// The variables of the ingress (or the one process).
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.ingress_environment
    }

    /// The URL for callers.
    pub fn callback_url(&self) -> String {
        format!("http://{}/api/callback", self.ingress.address)
    }

    /// POSTs a callback.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, callback: &Value) -> GatewayResponse {
        self.post_raw(
            callback.to_string(),
            &[("content-type", "application/json")],
        )
        .await
    }

    /// POSTs exactly these bytes, with no headers of ours but these.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post_raw(
        &self,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> GatewayResponse {
        let answered = self.try_post_raw(body, headers).await;
        answered.unwrap_or_else(|error| panic!("no answer from the ingress: {error:?}"))
    }

    /// Like [`Gateway::post_raw`], for a test in which the ingress may die.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn try_post_raw(
        &self,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<GatewayResponse> {
        let mut request = self.client.post(self.callback_url()).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(GatewayResponse {
            status,
            headers,
            body: response.bytes().await?,
        })
    }

    /// GETs a path of one of the processes: status and body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, role: GatewayRole, path: &str) -> (u16, String) {
        self.get_at(role, self.instance(role).address, path).await
    }

    /// GETs a path of the metrics listener of one of the processes: status and body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get_details(&self, role: GatewayRole, path: &str) -> (u16, String) {
        self.get_at(role, self.instance(role).metrics, path).await
    }

    async fn get_at(&self, role: GatewayRole, address: SocketAddr, path: &str) -> (u16, String) {
        instance::get(&self.client, address, path)
            .await
            .unwrap_or_else(|error| panic!("{role:?}: {error}"))
    }

    /// The process of a role.
    fn instance(&self, role: GatewayRole) -> &Instance {
        match (role, &self.queues) {
            (GatewayRole::Ingress, _) | (_, Queues::Embedded(_)) => &self.ingress,
            (GatewayRole::Dispatcher(place), Queues::RabbitMq { .. }) => &self.dispatchers[place],
        }
    }

    /// The metrics of one of the processes, in Prometheus's text format.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn metrics(&self, role: GatewayRole) -> String {
        let (status, text) = self.get_details(role, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// How many messages are in the queue, for instance `first`, `retry`, `dead`: the ready ones,
    /// and in the embedded store those in flight as well.
    ///
    /// # Panics
    /// When the queue does not exist.
    pub async fn queue_depth(&self, queue: &str) -> u32 {
        self.queues.depth(queue).await.unwrap()
    }

    /// Every queue that is not empty, by name, without the dead letters.
    ///
    /// # Errors
    /// As text, when the broker is not reachable.
    pub async fn depths(&self) -> Result<BTreeMap<String, u32>, String> {
        let mut depths = self.queues.depths().await?;
        depths.remove("dead");
        Ok(depths)
    }

    /// Removes the next message from the queue. Nothing can be removed from the embedded store: a
    /// message that was returned once is not returned again.
    ///
    /// # Errors
    /// As text, when the queue or the broker does not exist.
    pub async fn take(&self, queue: &str) -> Result<Option<QueueMessage>, String> {
        self.queues.take(queue).await
    }

    /// Takes all messages from all queues like [`Gateway::take`], with the queue's name; from the
    /// embedded store also those taken before.
    ///
    /// # Panics
    /// When the broker is not reachable.
    pub async fn take_all(&self) -> Vec<(String, QueueMessage)> {
        self.queues.take_all().await.unwrap()
    }

    /// Removes the next dead letter.
    ///
    /// # Panics
    /// When the queue does not exist.
    pub async fn take_dead_letter(&self) -> Option<QueueMessage> {
        self.take("dead").await.unwrap()
    }

    /// Inserts messages into a queue, bypassing the ingress: `first`, `unrouted`,
    /// `delivery_limit` or `unreadable`.
    ///
    /// With the embedded store the process has to be stopped and started again, which resets its
    /// counters: a test that uses this needs its own gateway.
    ///
    /// # Panics
    /// When they cannot be inserted.
    pub async fn insert_messages(&mut self, queue: &str, bodies: &[Vec<u8>]) {
        match &self.queues {
            Queues::RabbitMq { rabbit, .. } => {
                let (exchange, key) = match queue {
                    "first" => ("in", "first"),
                    "unrouted" => ("in", "no-such-key"),
                    "delivery_limit" => ("delivery_limit", ""),
                    "unreadable" => ("unreadable", ""),
                    other => panic!("no messages can be inserted into {other}"),
                };
                for body in bodies {
                    let published = rabbit.publish(&self.name(exchange), key, body).await;
                    published.unwrap();
                }
            }
            Queues::Embedded(store) => {
                self.ingress.process.sigterm();
                let ended = self.ingress.process.wait_exit(STOP_TIMEOUT).await;
                assert_eq!(ended.code(), Some(0), "{ended}");
                store.insert(queue, bodies).unwrap();
                self.restart_ingress().await;
            }
        }
    }

    /// The full name in RabbitMQ of one of this gateway's queues or exchanges.
    pub fn name(&self, of: &str) -> String {
        format!("{}.{of}", self.prefix)
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}
