//! Looks at the topology, and declares parts of it: at the start of the process, and for the keeper.

use super::declare::{DeclareAnswer, Requests};
use super::objects::{BindingSpec, Topology};
use crate::faults::FaultKind;
use crate::rabbitmq::monitor::Monitor;
use lapin::Connection;
use std::collections::BTreeSet;
use std::time::Duration;

/// For looking at one object. RabbitMQ answers for a queue whose leader is away after a fraction
/// of a second, unless the node with the leader is silent.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// Objects that are not looked at within this time at the start are looked at later.
const LOOK_BUDGET: Duration = Duration::from_secs(4);
/// For declaring one object.
const DECLARE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a look at the topology found.
#[derive(Debug, Default)]
pub(super) struct TopologyFindings {
    /// The names of exchanges and queues, with the broker's words.
    pub(super) missing: Vec<(String, String)>,
    pub(super) unanswered: Vec<String>,
    /// The broker's words for the first object that cannot be looked at.
    refused: Option<String>,
}

/// How to look.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// At everything.
    Whole,
    /// At the start: what is not looked at within [`LOOK_BUDGET`] counts as unanswered. With `true`
    /// the first missing object ends it: then everything is declared anyway.
    Start(bool),
}

/// Looks at every object.
pub(super) async fn look(
    connection: &Connection,
    topology: &Topology,
    look: Look,
) -> Result<TopologyFindings, String> {
    let began = tokio::time::Instant::now();
    let mut requests = Requests::new(connection);
    let mut findings = TopologyFindings::default();
    for spec in &topology.exchanges {
        let answer = requests.exchange(spec, true, LOOK_TIMEOUT).await?;
        findings.note(&spec.name, answer);
        if matches!(look, Look::Start(true)) && !findings.missing.is_empty() {
            return Ok(findings);
        }
    }
    for spec in &topology.queues {
        let late = matches!(look, Look::Start(_)) && began.elapsed() >= LOOK_BUDGET;
        let answer = match late {
            true => DeclareAnswer::Silent,
            false => requests.queue(spec, true, LOOK_TIMEOUT).await?,
        };
        findings.note(&spec.name, answer);
        if matches!(look, Look::Start(true)) && !findings.missing.is_empty() {
            return Ok(findings);
        }
    }
    requests.end().await;
    Ok(findings)
}

impl TopologyFindings {
    fn note(&mut self, name: &str, answer: DeclareAnswer) {
        match answer {
            DeclareAnswer::Done => {}
            DeclareAnswer::Missing(reason) => self.missing.push((name.to_owned(), reason)),
            DeclareAnswer::Silent => self.unanswered.push(name.to_owned()),
            DeclareAnswer::Refused(reason) => _ = self.refused.get_or_insert(reason),
        }
    }

    /// The first missing object without which the gateway cannot work. The keeper shows the others.
    fn first_needed(&self, topology: &Topology) -> Option<&(String, String)> {
        let is_needed = |name: &str| {
            let found = topology.exchanges.iter().find(|spec| spec.name == name);
            found.is_none_or(|spec| spec.is_needed)
        };
        self.missing.iter().find(|(name, _)| is_needed(name))
    }

    pub(super) fn missing_names(&self) -> BTreeSet<&str> {
        self.missing.iter().map(|(name, _)| &**name).collect()
    }
}

/// What of the topology is declared.
pub(super) struct Plan<'a> {
    pub(super) object: Box<dyn Fn(&str) -> bool + Send + Sync + 'a>,
    pub(super) binding: Box<dyn Fn(&BindingSpec) -> bool + Send + Sync + 'a>,
}

/// Declares a part of the topology; declaring again changes nothing. Returns the names of the objects
/// that now exist, and whether the broker has answered everything.
///
/// # Errors
/// The broker's words, when it refuses one.
pub(super) async fn declare<'a>(
    connection: &Connection,
    topology: &'a Topology,
    plan: Plan<'_>,
) -> Result<(Vec<&'a str>, bool), String> {
    let mut requests = Requests::new(connection);
    let (mut declared, mut complete) = (Vec::new(), true);
    for spec in topology
        .exchanges
        .iter()
        .filter(|it| (plan.object)(&it.name))
    {
        let answer = requests.exchange(spec, false, DECLARE_TIMEOUT).await?;
        match is_done(answer)? {
            true => declared.push(&*spec.name),
            false => complete = false,
        }
    }
    for spec in topology.queues.iter().filter(|it| (plan.object)(&it.name)) {
        let answer = requests.queue(spec, false, DECLARE_TIMEOUT).await?;
        match is_done(answer)? {
            true => declared.push(&*spec.name),
            false => complete = false,
        }
    }
    for spec in topology.bindings.iter().filter(|it| (plan.binding)(it)) {
        if !is_done(requests.bind(spec, DECLARE_TIMEOUT).await?)? {
            // The others would hang as well.
            complete = false;
            break;
        }
    }
    requests.end().await;
    Ok((declared, complete))
}

fn is_done(answer: DeclareAnswer) -> Result<bool, String> {
    match answer {
        DeclareAnswer::Done => Ok(true),
        DeclareAnswer::Silent => Ok(false),
        DeclareAnswer::Missing(reason) | DeclareAnswer::Refused(reason) => Err(reason),
    }
}

/// Makes sure at the start that everything is there, with the right arguments if it may declare. What
/// the broker does not answer does not count as missing: its keeper looks again.
pub(in crate::rabbitmq) async fn prepare(
    connection: &Connection,
    topology: &Topology,
    may_declare: bool,
    monitor: &Monitor,
) -> Result<(), String> {
    let found = look(connection, topology, Look::Start(may_declare)).await?;
    if let Some(reason) = found.refused {
        return Err(reason);
    }
    if may_declare {
        // What exists is only compared, which takes as little as looking at it.
        let bind = !found.missing.is_empty();
        let plan = Plan {
            object: Box::new(|name| !found.unanswered.iter().any(|it| it == name)),
            binding: Box::new(move |_| bind),
        };
        declare(connection, topology, plan).await?;
    } else if let Some((_, reason)) = found.first_needed(topology) {
        return Err(reason.clone());
    }
    show_unanswered(topology, &found.unanswered, monitor);
    monitor.set_verified();
    Ok(())
}

pub(super) fn show_unanswered(topology: &Topology, unanswered: &[String], monitor: &Monitor) {
    let meaning = "a queue does not answer the check of the topology: its leader may be away";
    for spec in &topology.queues {
        let name = topology.short(&spec.name);
        match unanswered.contains(&spec.name) {
            true => monitor.raise(FaultKind::Unanswered, name, meaning),
            false => monitor.clear(FaultKind::Unanswered, name),
        }
    }
}
