//! Faults made by the node's own means.

use std::time::Duration;

use super::RabbitMq;

impl RabbitMq {
    /// Stops all members of a quorum queue, which is then without a leader: publishes are nacked or not
    /// confirmed, nothing is delivered, and its depth reads 0. All other queues work.
    pub async fn stop_quorum_queue(&self, queue: &str) {
        self.members(queue, "ra:stop_server").await;
    }

    /// Ends the outage of [`RabbitMq::stop_quorum_queue`]. A channel that has seen it may go on to nack
    /// (measured on 3.10.8); a new one does not.
    pub async fn restart_quorum_queue(&self, queue: &str) {
        self.members(queue, "ra:restart_server").await;
    }

    async fn members(&self, queue: &str, function: &str) {
        let script = format!(
            "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             {{Name, _}} = amqqueue:get_pid(Queue), \
             #{{nodes := Nodes}} = amqqueue:get_type_state(Queue), \
             [ok = {function}(quorum_queues, {{Name, Node}}) || Node <- Nodes]."
        );
        self.ctl(&["eval", &script]).await;
    }

    /// Sets how long a consumer of a channel that is opened later may leave a message unsettled. It is
    /// checked every second.
    pub async fn set_consumer_timeout(&self, timeout: Duration) {
        let script = format!(
            "application:set_env(rabbit, consumer_timeout, {}), \
             application:set_env(rabbit, channel_tick_interval, 1000).",
            timeout.as_millis()
        );
        self.ctl(&["eval", &script]).await;
    }

    /// How many messages of a queue are delivered and unsettled.
    ///
    /// # Panics
    /// When the queue does not exist.
    pub async fn unsettled(&self, queue: &str) -> u32 {
        let columns = ["name", "messages_unacknowledged"];
        let listed = self
            .ctl(&[&["list_queues", "--no-table-headers"][..], &columns[..]].concat())
            .await;
        let mut lines = listed.lines().map(|line| line.split_whitespace());
        let figure = lines.find_map(|mut line| (line.next() == Some(queue)).then(|| line.next()));
        let figure = figure.flatten().and_then(|figure| figure.parse().ok());
        figure.unwrap_or_else(|| panic!("no {queue} in {listed}"))
    }
}
