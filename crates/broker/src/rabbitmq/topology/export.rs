//! The topology as RabbitMQ definitions and as a table for people.

use super::objects::{Argument, Arguments, BindingSpec, ExchangeSpec, QueueSpec, Topology};
use serde_json::{Value, json};
use std::fmt::Write as _;

impl Topology {
    /// The topology in the form that RabbitMQ imports and exports (`definitions.json`).
    pub fn definitions(&self, vhost: &str) -> Value {
        let exchanges = self.exchanges.iter().map(|spec| spec.definition(vhost));
        let queues = self.queues.iter().map(|spec| spec.definition(vhost));
        let bindings = self.bindings.iter().map(|spec| spec.definition(vhost));
        json!({
            "exchanges": exchanges.collect::<Vec<_>>(),
            "queues": queues.collect::<Vec<_>>(),
            "bindings": bindings.collect::<Vec<_>>(),
        })
    }

    /// The topology as Markdown tables: the generated part of `docs/reference/rabbitmq-objects.md`.
    pub fn markdown(&self) -> String {
        let mut page = String::new();
        page.push_str("### Exchanges\n\n");
        page.push_str("| exchange | type | alternate exchange | for |\n|---|---|---|---|\n");
        for spec in &self.exchanges {
            let alternate = spec.alternate.as_deref().map(code).unwrap_or_default();
            let (name, kind) = (code(&spec.name), spec.kind.as_str());
            // Writing to a String cannot fail.
            let _ = writeln!(page, "| {name} | {kind} | {alternate} | {} |", spec.purpose);
        }
        page.push_str("\n### Queues\n\n| queue | arguments | for |\n|---|---|---|\n");
        for spec in &self.queues {
            let arguments = arguments_for_people(&spec.arguments);
            let name = code(&spec.name);
            let _ = writeln!(page, "| {name} | {arguments} | {} |", spec.purpose);
        }
        page.push_str("\n### Bindings\n\n| exchange | to | routing key |\n|---|---|---|\n");
        for spec in &self.bindings {
            let kind = destination_kind(spec);
            let key = match spec.routing_key.as_str() {
                "" => "(none)".to_owned(),
                key => code(key),
            };
            let [source, destination] = [&spec.source, &spec.destination].map(|name| code(name));
            let _ = writeln!(page, "| {source} | {kind} {destination} | {key} |");
        }
        page
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn arguments_for_people(arguments: &Arguments) -> String {
    let arguments = arguments.iter().map(|(key, value)| match value {
        Argument::Text(text) => format!("`{key}={text}`"),
        Argument::Number(number) => format!("`{key}={number}`"),
    });
    arguments.collect::<Vec<_>>().join(" ")
}

const fn destination_kind(binding: &BindingSpec) -> &'static str {
    if binding.to_exchange {
        "exchange"
    } else {
        "queue"
    }
}

impl ExchangeSpec {
    fn definition(&self, vhost: &str) -> Value {
        let mut arguments = json!({});
        if let Some(alternate) = &self.alternate {
            arguments["alternate-exchange"] = json!(alternate);
        }
        json!({
            "name": self.name, "vhost": vhost, "type": self.kind.as_str(), "durable": true,
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
            "destination_type": destination_kind(self),
            "routing_key": self.routing_key, "arguments": {},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const PAGE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/rabbitmq-objects.md"
    );

    #[test]
    fn the_reference_page_holds_the_generated_tables() {
        let page = fs::read_to_string(PAGE).unwrap();
        let (_, rest) = page.split_once("<!-- generated: topology -->\n").unwrap();
        let (tables, _) = rest.split_once("<!-- end -->\n").unwrap();
        let expected = Topology::new("ringback").markdown();
        assert!(
            tables.trim() == expected.trim(),
            "replace the generated part of {PAGE} by:\n{expected}"
        );
    }

    #[test]
    fn the_reference_page_explains_every_argument() {
        let page = fs::read_to_string(PAGE).unwrap();
        let topology = Topology::new("ringback");
        let arguments = topology.queues.iter().map(|queue| &queue.arguments);
        for (key, _) in arguments.flatten() {
            assert!(page.contains(&format!("\n| `{key}` |")), "{key}");
        }
        let replies = arguments_for_people(&Topology::reply_arguments());
        assert!(page.contains(&replies), "{replies}");
    }
}
