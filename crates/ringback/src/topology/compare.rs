//! Compares the expected topology with that of a broker. Pure: values in, sentences out.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::management::BrokerObjects;

/// The result, one line for each difference.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// With these the gateway does not work as promised.
    pub(super) faults: Vec<String>,
    /// These may be intended, but are not part of the topology.
    pub(super) warnings: Vec<String>,
}

/// Compares `wanted` (a `definitions.json`) with the broker's objects.
pub(super) fn compare(wanted: &Value, found: &BrokerObjects) -> Findings {
    let mut findings = Findings::default();
    let exchanges = items(wanted, "exchanges");
    for exchange in exchanges {
        let fields = ["type", "durable", "auto_delete", "internal"];
        object(
            &mut findings,
            "exchange",
            exchange,
            &fields,
            &found.exchanges,
        );
    }
    for queue in items(wanted, "queues") {
        // The queue's type is an argument; the field `type` is not in the definitions.
        object(
            &mut findings,
            "queue",
            queue,
            &["durable", "auto_delete"],
            &found.queues,
        );
    }
    bindings(
        &mut findings,
        exchanges,
        items(wanted, "bindings"),
        &found.bindings,
    );
    findings
}

fn items<'a>(definitions: &'a Value, kind: &str) -> &'a [Value] {
    definitions[kind].as_array().map_or(&[], Vec::as_slice)
}

fn object(findings: &mut Findings, kind: &str, wanted: &Value, fields: &[&str], found: &[Value]) {
    let name = text(wanted, "name");
    let named = format!("{kind} {name}");
    let Some(found) = found.iter().find(|object| text(object, "name") == name) else {
        findings.faults.push(format!("{named} is missing"));
        return;
    };
    for field in fields {
        let (is, should) = (&found[*field], &wanted[*field]);
        if is != should {
            findings
                .faults
                .push(format!("{named}: {field} is {is}, not {should}"));
        }
    }
    arguments(
        &mut findings.faults,
        &named,
        &wanted["arguments"],
        &found["arguments"],
    );
    let policy = text(found, "policy");
    if !policy.is_empty() {
        let warning = format!("{named}: the policy {policy} applies to it as well");
        findings.warnings.push(warning);
    }
}

fn arguments(faults: &mut Vec<String>, named: &str, wanted: &Value, found: &Value) {
    let none = Map::new();
    let wanted = wanted.as_object().unwrap_or(&none);
    let found = found.as_object().unwrap_or(&none);
    let keys: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    for key in keys {
        let fault = match (found.get(key), wanted.get(key)) {
            (Some(is), Some(should)) if is == should => continue,
            (Some(is), Some(should)) => format!("is {is}, not {should}"),
            (None, Some(should)) => format!("is missing; it should be {should}"),
            (Some(is), None) => format!("should not be there; it is {is}"),
            (None, None) => continue,
        };
        faults.push(format!("{named}: argument {key} {fault}"));
    }
}

fn bindings(findings: &mut Findings, exchanges: &[Value], wanted: &[Value], found: &[Value]) {
    for binding in wanted {
        if !found.iter().any(|other| same_binding(other, binding)) {
            findings
                .faults
                .push(format!("{} is missing", describe(binding)));
        }
    }
    let is_known = |name: &str| {
        let mut names = exchanges.iter().map(|exchange| text(exchange, "name"));
        names.any(|exchange| exchange == name)
    };
    for binding in found {
        if is_known(text(binding, "source"))
            && !is_reply_queue(binding)
            && !wanted.iter().any(|other| same_binding(other, binding))
        {
            let warning = format!("{} is not part of the topology", describe(binding));
            findings.warnings.push(warning);
        }
    }
}

/// The queue of one process for replies or control messages exists as long as its connection. Its name
/// is also the routing key of its replies, and begins with the name of their exchange.
fn is_reply_queue(binding: &Value) -> bool {
    let [source, destination, key] =
        ["source", "destination", "routing_key"].map(|field| text(binding, field));
    let begins = |rest: &str| rest.starts_with('.');
    let is_control = source.strip_suffix(".control").is_some_and(|prefix| {
        let rest = destination.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with(".reply.control."))
    });
    is_control || (key == destination && destination.strip_prefix(source).is_some_and(begins))
}

fn same_binding(one: &Value, other: &Value) -> bool {
    [
        "source",
        "destination",
        "destination_type",
        "routing_key",
        "arguments",
    ]
    .iter()
    .all(|field| one[*field] == other[*field])
}

fn describe(binding: &Value) -> String {
    let [source, kind, destination, key] =
        ["source", "destination_type", "destination", "routing_key"]
            .map(|field| text(binding, field));
    format!("binding {source} -> {kind} {destination} with key {key:?}")
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use broker::rabbitmq::Topology;
    use serde_json::json;

    use super::*;

    fn wanted() -> Value {
        Topology::new("ringback").definitions("/")
    }

    /// A broker with exactly the expected topology, and objects of others.
    fn complete() -> BrokerObjects {
        let wanted = wanted();
        let with = |kind: &str, more: Value| {
            let mut all = items(&wanted, kind).to_vec();
            all.push(more);
            all
        };
        BrokerObjects {
            exchanges: with("exchanges", json!({ "name": "", "type": "direct" })),
            queues: with(
                "queues",
                json!({ "name": "other", "durable": false, "policy": "p" }),
            ),
            bindings: with(
                "bindings",
                json!({
                    "source": "", "destination": "ringback.first", "destination_type": "queue",
                    "routing_key": "ringback.first", "arguments": {},
                }),
            ),
        }
    }

    fn named<'a>(all: &'a mut [Value], name: &str) -> &'a mut Value {
        all.iter_mut()
            .find(|object| object["name"] == name)
            .unwrap()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut BrokerObjects), faults: &[&str], warnings: &[&str]) {
        let mut found = complete();
        change(&mut found);
        let findings = compare(&wanted(), &found);
        assert_eq!(findings.faults, faults);
        assert_eq!(findings.warnings, warnings);
    }

    #[test]
    fn a_complete_broker_has_no_faults() {
        assert!(!items(&wanted(), "queues").is_empty());
        check(|_| {}, &[], &[]);
    }

    #[test]
    fn a_missing_object_is_named() {
        check(
            |found| {
                found
                    .exchanges
                    .retain(|object| object["name"] != "ringback.due");
                found
                    .queues
                    .retain(|object| object["name"] != "ringback.delay.07");
                found
                    .bindings
                    .retain(|object| object["source"] != "ringback.in");
            },
            &[
                "exchange ringback.due is missing",
                "queue ringback.delay.07 is missing",
                "binding ringback.in -> queue ringback.first with key \"first\" is missing",
            ],
            &[],
        );
    }

    #[test]
    fn a_difference_is_named_with_both_values() {
        check(
            |found| {
                named(&mut found.exchanges, "ringback.in")["type"] = json!("topic");
                named(&mut found.queues, "ringback.dead")["durable"] = json!(false);
                let first = &mut named(&mut found.queues, "ringback.first")["arguments"];
                first["x-queue-type"] = json!("classic");
                first["x-max-length"] = json!(10);
                first.as_object_mut().unwrap().remove("x-overflow");
                named(&mut found.queues, "ringback.delay.00")["arguments"]["x-message-ttl"] =
                    json!(2000);
            },
            &[
                "exchange ringback.in: type is \"topic\", not \"direct\"",
                "queue ringback.dead: durable is false, not true",
                "queue ringback.first: argument x-max-length should not be there; it is 10",
                "queue ringback.first: argument x-overflow is missing; it should be \"reject-publish\"",
                "queue ringback.first: argument x-queue-type is \"classic\", not \"quorum\"",
                "queue ringback.delay.00: argument x-message-ttl is 2000, not 1000",
            ],
            &[],
        );
    }

    #[test]
    fn an_object_of_others_is_a_warning() {
        check(
            |found| {
                found.bindings.push(json!({
                    "source": "ringback.in", "destination": "spy", "destination_type": "queue",
                    "routing_key": "first", "arguments": {},
                }));
                let reply_queue = "ringback.reply.00c0ffee";
                found.bindings.push(json!({
                    "source": "ringback.reply", "destination": reply_queue,
                    "destination_type": "queue", "routing_key": reply_queue, "arguments": {},
                }));
                let control_queue = "ringback.reply.control.00c0ffee";
                for (source, key) in [("control", ""), ("reply", control_queue)] {
                    found.bindings.push(json!({
                        "source": format!("ringback.{source}"), "destination": control_queue,
                        "destination_type": "queue", "routing_key": key, "arguments": {},
                    }));
                }
                named(&mut found.queues, "ringback.dead")["policy"] = json!("short-lived");
            },
            &[],
            &[
                "queue ringback.dead: the policy short-lived applies to it as well",
                "binding ringback.in -> queue spy with key \"first\" is not part of the topology",
            ],
        );
    }
}
