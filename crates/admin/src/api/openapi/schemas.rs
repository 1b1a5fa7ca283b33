//! The schemas of bodies, from the types that are read and written.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::bulk::ExpediteBody;
use crate::api::bulk_request::{ActorBody, BulkBody};
use crate::api::bulk_view::{BulkCountView, BulkView};
use crate::api::dead_letters::{DiscardView, ReplayView};
use crate::api::pauses::PauseBody;
use crate::api::process_view::{
    AppView, AttemptEndView, HolderView, InstanceView, OthersView, ReloadedView, SeenBy, TargetView,
};
use crate::api::stats_view::StatsView;
use crate::api::unreadable::UnreadableBody;
use crate::api::view::{
    AuditView, CallbackView, CancelView, DoctorView, GuardView, MatchedView, PauseView, PausedView,
    PayloadView, UnreadableView,
};

/// Schemas by name, as utoipa collects them.
type Collected = Vec<(String, RefOr<Schema>)>;

fn collect<T: ToSchema + PartialSchema>(found: &mut Collected) {
    found.push((T::name().into_owned(), T::schema()));
    T::schemas(found);
}

/// All schemas, by name.
pub(super) fn all() -> Value {
    let mut found = Collected::new();
    for collect in [
        collect::<ActorBody>,
        collect::<BulkBody>,
        collect::<ExpediteBody>,
        collect::<PauseBody>,
        collect::<UnreadableBody>,
        collect::<AppView>,
        collect::<AttemptEndView>,
        collect::<AuditView>,
        collect::<BulkCountView>,
        collect::<BulkView>,
        collect::<CallbackView>,
        collect::<CancelView>,
        collect::<DiscardView>,
        collect::<DoctorView>,
        collect::<GuardView>,
        collect::<HolderView>,
        collect::<InstanceView>,
        collect::<MatchedView>,
        collect::<OthersView>,
        collect::<PauseView>,
        collect::<PausedView>,
        collect::<PayloadView>,
        collect::<ReloadedView>,
        collect::<ReplayView>,
        collect::<SeenBy>,
        collect::<StatsView>,
        collect::<TargetView>,
        collect::<UnreadableView>,
    ] {
        collect(&mut found);
    }
    let schemas = found.into_iter().map(|(name, schema)| {
        // The tests would find a schema that cannot be written.
        (name, serde_json::to_value(schema).unwrap_or_default())
    });
    let mut schemas: Map<String, Value> = schemas.collect();
    schemas.insert("Problem".to_owned(), problem());
    Value::Object(schemas)
}

/// A reference to one of them.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn problem() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": text("A URN that ends with the code."),
            "title": text("What all problems of a code share."),
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": text("What is wrong, for people."),
            "code": text("What kind of problem it is, for programs."),
        },
    })
}

/// What a request is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnswerSchema {
    /// An object of this schema.
    One(&'static str),
    /// The first for a dry run, else the second.
    Either(&'static str, &'static str),
    /// A page of a list.
    List(&'static str),
    /// A list of what processes say.
    Seen(&'static str),
    /// The targets: with what is not on the page.
    Targets,
    /// The attempts: with whether some were left out.
    Attempts,
    /// The unreadable messages: with how many wait.
    Unreadable,
    /// An end of a pause.
    Resumed,
    /// A reconciliation that will begin.
    Reconcile,
    /// An act on unreadable messages, or its dry run.
    Settled(&'static str),
}

impl AnswerSchema {
    pub(super) fn schema(self) -> Value {
        match self {
            Self::One(name) => reference(name),
            Self::Either(counted, done) => {
                json!({ "anyOf": [reference(counted), reference(done)] })
            }
            Self::List(item) => list(item, json!({}), &[]),
            Self::Seen(item) => seen(item, json!({}), &[]),
            Self::Targets => seen(
                "TargetView",
                json!({ "others": reference("OthersView") }),
                &["others"],
            ),
            Self::Attempts => seen(
                "AttemptEndView",
                json!({ "left_out": { "type": "boolean" } }),
                &["left_out"],
            ),
            Self::Unreadable => list(
                "UnreadableView",
                json!({ "waiting": { "type": "integer", "minimum": 0 } }),
                &["waiting"],
            ),
            Self::Resumed => object(&json!({ "resumed": reference("PauseView") }), &["resumed"]),
            Self::Reconcile => object(
                &json!({ "reconcile": { "type": "string", "const": "scheduled" } }),
                &["reconcile"],
            ),
            Self::Settled(participle) => {
                let count = json!({ "type": "integer", "minimum": 0 });
                let ids = json!({ "type": "array", "items": { "type": "string" } });
                let error = json!({ "type": ["string", "null"] });
                let done = json!({ participle: count, "unknown": ids, "error": error });
                json!({
                    "anyOf": [
                        object(&json!({ "matched": count }), &["matched"]),
                        object(&done, &[participle, "unknown", "error"]),
                    ],
                })
            }
        }
    }
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A page of a list, and the switches in force.
fn list(item: &str, more: Value, required: &[&str]) -> Value {
    let mut properties = json!({
        "items": { "type": "array", "items": reference(item) },
        "next": { "type": ["string", "null"], "description": "The `after` of the next page." },
        "switches": {
            "type": "array",
            "items": reference("PauseView"),
            "description": "There while intake or deliveries are stopped.",
        },
    });
    if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
        properties.extend(more);
    }
    let required = [&["items", "next"], required].concat();
    object(&properties, &required)
}

/// A list of what processes say.
fn seen(item: &str, more: Value, required: &[&str]) -> Value {
    let mut properties = json!({
        "seen_by": reference("SeenBy"),
        "warnings": { "type": "array", "items": { "type": "string" } },
    });
    if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
        properties.extend(more);
    }
    let required = [&["seen_by", "warnings"], required].concat();
    list(item, properties, &required)
}
