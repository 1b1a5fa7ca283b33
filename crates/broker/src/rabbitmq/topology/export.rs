//! How does the topology look to RabbitMQ's import?

use super::{Argument, BindingSpec, ExchangeSpec, QueueSpec, Topology};
use serde_json::{Value, json};

impl Topology {
    /// The topology in the form that RabbitMQ imports and exports (`definitions.json`).
    pub fn definitions(&self, vhost: &str) -> Value {
        let exchanges: Vec<Value> = self
            .exchanges
            .iter()
            .map(|it| it.definition(vhost))
            .collect();
        let queues: Vec<Value> = self.queues.iter().map(|it| it.definition(vhost)).collect();
        let bindings: Vec<Value> = self
            .bindings
            .iter()
            .map(|it| it.definition(vhost))
            .collect();
        json!({ "exchanges": exchanges, "queues": queues, "bindings": bindings })
    }
}

impl ExchangeSpec {
    fn definition(&self, vhost: &str) -> Value {
        let mut arguments = json!({});
        if let Some(alternate) = &self.alternate {
            arguments["alternate-exchange"] = json!(alternate);
        }
        json!({
            "name": self.name, "vhost": vhost, "type": self.kind, "durable": true,
            "auto_delete": false, "internal": false, "arguments": arguments,
        })
    }
}

impl QueueSpec {
    fn definition(&self, vhost: &str) -> Value {
        let mut arguments = json!({});
        for (key, value) in &self.arguments {
            arguments[*key] = match value {
                Argument::Text(text) => json!(text),
                Argument::Number(number) => json!(number),
            };
        }
        json!({
            "name": self.name, "vhost": vhost, "durable": true, "auto_delete": false,
            "arguments": arguments,
        })
    }
}

impl BindingSpec {
    fn definition(&self, vhost: &str) -> Value {
        json!({
            "source": self.source, "vhost": vhost, "destination": self.destination,
            "destination_type": if self.to_exchange { "exchange" } else { "queue" },
            "routing_key": self.routing_key, "arguments": {},
        })
    }
}
