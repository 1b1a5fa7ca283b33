//! The listeners of a process, and what is said when one of their ports is taken.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use runtime::http::listen;

use super::occupant::{Occupant, occupant_of};
use super::role::ProcessRole;
use super::settings::Settings;
use crate::error::CommandError;

/// A listener of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenSetting {
    /// For people.
    pub(crate) name: &'static str,
    /// Where it will listen.
    pub(crate) address: SocketAddr,
    /// The setting or option that changes the address.
    pub(crate) setting: &'static str,
}

const CALLERS: &str = "the callers' listener";
const OPERATORS: &str = "the operators' listener";
const HEALTH: &str = "the health listener";
const METRICS: &str = "the metrics listener";
const CALLEE: &str = "the practice callee";

/// The listeners of `ringback dev`, each set by an option.
pub(crate) fn of_dev(
    callers: SocketAddr,
    callee: SocketAddr,
    operators: SocketAddr,
    metrics: SocketAddr,
) -> Vec<ListenSetting> {
    let all = [
        (CALLERS, callers, "--listen"),
        (CALLEE, callee, "--callee-listen"),
        (OPERATORS, operators, "--admin-listen"),
        (METRICS, metrics, "--metrics-listen"),
    ];
    all.map(listen_setting).into()
}

/// The listener of `ringback callee`.
pub(crate) fn of_callee(address: SocketAddr) -> ListenSetting {
    listen_setting((CALLEE, address, "--listen"))
}

/// The listeners of a role, each set by a key of the settings.
pub(crate) fn of_role(role: ProcessRole, settings: &Settings) -> Vec<ListenSetting> {
    let callers = (
        CALLERS,
        settings.ingress.listen,
        "ingress.listen (RINGBACK__INGRESS__LISTEN)",
    );
    let operators = (
        OPERATORS,
        settings.admin.listen,
        "admin.listen (RINGBACK__ADMIN__LISTEN)",
    );
    let health = (
        HEALTH,
        settings.dispatcher.listen,
        "dispatcher.listen (RINGBACK__DISPATCHER__LISTEN)",
    );
    let metrics = (
        METRICS,
        settings.metrics.listen,
        "metrics.listen (RINGBACK__METRICS__LISTEN)",
    );
    let all = match role {
        ProcessRole::Ingress => vec![callers, metrics],
        ProcessRole::Dispatcher | ProcessRole::Admin => vec![operators, health, metrics],
        ProcessRole::Recorder => vec![health, metrics],
        ProcessRole::Serve => vec![callers, operators, metrics],
        ProcessRole::Dev => Vec::new(), // They are set by options: see `of_dev`.
    };
    all.into_iter().map(listen_setting).collect()
}

fn listen_setting(
    (name, address, setting): (&'static str, SocketAddr, &'static str),
) -> ListenSetting {
    ListenSetting {
        name,
        address,
        setting,
    }
}

/// Refuses to start if a port cannot be opened, and names all such ports at once. `operators` is where
/// a running process may tell its name. Call it inside a Tokio runtime.
///
/// # Errors
/// A sentence that names each listener, the setting that changes it, and who has the port.
pub(crate) fn refuse_taken(
    listeners: &[ListenSetting],
    operators: SocketAddr,
) -> Result<(), CommandError> {
    // All at the same time, so that two of our own with one port are noticed.
    let mut open: Vec<(TcpListener, &ListenSetting)> = Vec::new();
    let mut refused: Vec<(&ListenSetting, io::Error)> = Vec::new();
    for listener in listeners.iter().filter(|it| it.address.port() != 0) {
        match listen(listener.address) {
            Ok((socket, _)) => open.push((socket, listener)),
            Err(error) => refused.push((listener, error)),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let own: Vec<&ListenSetting> = open.into_iter().map(|(_, listener)| listener).collect();
    let taken: Vec<(&ListenSetting, TakenBy)> = refused
        .iter()
        .filter(|(_, error)| error.kind() == ErrorKind::AddrInUse)
        .map(|(listener, _)| (*listener, taken_by(listener, &own)))
        .collect();
    // Whoever answers operators tells its name. It need not be the one that has the callers' port.
    let is_foreign = |(_, by): &(_, TakenBy)| matches!(by, TakenBy::Occupant(_));
    let name = taken.iter().any(is_foreign).then(|| occupant_of(operators));
    let operators_occupant = name.flatten();
    let name = operators_occupant.as_ref().and_then(Occupant::name);
    let at_operators = name.map(|name| format!("{name} answers operators on {operators}"));
    let errors: Vec<String> = refused
        .iter()
        .map(|(listener, error)| format!("{}, set by {}: {error}", listener.name, listener.setting))
        .collect();
    Err(CommandError::Failed(format!(
        "{}{}",
        errors.join("; "),
        hint(&taken, at_operators.as_deref())
    )))
}

/// Who has a port.
#[derive(Debug, PartialEq, Eq)]
enum TakenBy {
    /// Another listener of this process, set by this.
    Own(&'static str),
    /// A gateway or a practice callee that answers there.
    Occupant(Occupant),
    /// Something else.
    Unknown,
}

fn taken_by(listener: &ListenSetting, own: &[&ListenSetting]) -> TakenBy {
    let same = own.iter().find(|it| collide(it.address, listener.address));
    match same {
        Some(same) => TakenBy::Own(same.setting),
        None => occupant_of(listener.address).map_or(TakenBy::Unknown, TakenBy::Occupant),
    }
}

/// Whether two sockets cannot be open at the same time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |address: SocketAddr| address.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || any(one) || any(other))
}

/// What to do about taken ports. `at_operators`: who answers at the operators' address.
fn hint(taken: &[(&ListenSetting, TakenBy)], at_operators: Option<&str>) -> String {
    let Some((first, _)) = taken.first() else {
        return String::new();
    };
    for (listener, by) in taken {
        if let TakenBy::Own(other) = by {
            let setting = listener.setting;
            return format!(". {setting} and {other} name the same port: change one of them");
        }
    }
    let occupied = taken.iter().find_map(|(listener, by)| match by {
        TakenBy::Occupant(occupant) => Some((listener, occupant)),
        TakenBy::Own(_) | TakenBy::Unknown => None,
    });
    let settings: Vec<&str> = taken.iter().map(|(listener, _)| listener.setting).collect();
    let settings = settings.join(" and ");
    match occupied {
        Some((listener, occupant)) => {
            let who = match (occupant, occupant.name()) {
                (Occupant::Gateway(_), Some(name)) => {
                    format!("a running ringback, {name}, answers there")
                }
                (Occupant::Gateway(_), None) => "a running ringback answers there".to_owned(),
                (Occupant::PracticeCallee, _) => {
                    "a practice callee (of ringback dev or ringback callee) answers there"
                        .to_owned()
                }
            };
            let also = match (occupant.name(), at_operators) {
                (None, Some(sentence)) => format!(" ({sentence})"),
                _ => String::new(),
            };
            let address = listener.address;
            format!(
                ". On {address}: {who}{also}. Stop what you do not need, or choose another address \
                 with {settings}"
            )
        }
        None => {
            let address = first.address;
            format!(
                ". Perhaps another ringback dev or ringback serve is running on {address}: stop \
                 it, or choose another address with {settings}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(name: &'static str, port: u16, setting: &'static str) -> ListenSetting {
        listen_setting((name, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), setting))
    }

    #[test]
    fn every_role_names_its_listeners_with_key_and_variable() {
        let settings = Settings::default();
        for (role, names) in [
            (ProcessRole::Ingress, &[CALLERS, METRICS][..]),
            (ProcessRole::Dispatcher, &[OPERATORS, HEALTH, METRICS]),
            (ProcessRole::Recorder, &[HEALTH, METRICS]),
            (ProcessRole::Admin, &[OPERATORS, HEALTH, METRICS]),
            (ProcessRole::Serve, &[CALLERS, OPERATORS, METRICS]),
        ] {
            let listeners = of_role(role, &settings);
            let found: Vec<&str> = listeners.iter().map(|it| it.name).collect();
            assert_eq!(found, names, "{role}");
            for listener in listeners {
                let setting = listener.setting;
                assert!(setting.contains(".listen (RINGBACK__"), "{setting}");
            }
        }
    }

    #[test]
    fn the_hint_states_who_answers_and_supposes_it_otherwise() {
        let callers = at(CALLERS, 5106, "--listen");
        let callee = at(CALLEE, 5107, "--callee-listen");
        let gateway =
            |name: Option<&str>| TakenBy::Occupant(Occupant::Gateway(name.map(str::to_owned)));
        assert_eq!(
            hint(
                &[(&callers, gateway(None)), (&callee, TakenBy::Unknown)],
                Some("dev@here:1 answers operators on 127.0.0.1:5109")
            ),
            ". On 127.0.0.1:5106: a running ringback answers there (dev@here:1 answers operators on \
             127.0.0.1:5109). Stop what you do not need, or choose another address with --listen and \
             --callee-listen"
        );
        let operators = at(OPERATORS, 5109, "--admin-listen");
        assert_eq!(
            hint(&[(&operators, gateway(Some("dev@here:1")))], None),
            ". On 127.0.0.1:5109: a running ringback, dev@here:1, answers there. Stop what you do not \
             need, or choose another address with --admin-listen"
        );
        assert_eq!(
            hint(
                &[(&callee, TakenBy::Occupant(Occupant::PracticeCallee))],
                None
            ),
            ". On 127.0.0.1:5107: a practice callee (of ringback dev or ringback callee) answers \
             there. Stop what you do not need, or choose another address with --callee-listen"
        );
        assert_eq!(
            hint(&[(&callers, TakenBy::Unknown)], Some("dev@here:1")),
            ". Perhaps another ringback dev or ringback serve is running on 127.0.0.1:5106: stop \
             it, or choose another address with --listen"
        );
        assert_eq!(
            hint(&[(&callers, TakenBy::Own("--metrics-listen"))], None),
            ". --listen and --metrics-listen name the same port: change one of them"
        );
        assert_eq!(hint(&[], None), "");
    }

    #[tokio::test]
    async fn all_ports_that_cannot_be_opened_are_named_at_once() {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, two] = sockets
            .each_ref()
            .map(|socket| socket.local_addr().unwrap().port());
        let listeners = [
            at(CALLERS, one, "--listen"),
            at(METRICS, 0, "--metrics-listen"),
            at(CALLEE, two, "--callee-listen"),
        ];
        let nobody = at(OPERATORS, two, "").address;
        let sentence = refuse_taken(&listeners, nobody).unwrap_err().sentence();
        for part in [
            &*format!("the callers' listener, set by --listen: cannot listen on 127.0.0.1:{one}: "),
            &format!(
                "the practice callee, set by --callee-listen: cannot listen on 127.0.0.1:{two}: "
            ),
            "Perhaps another ringback dev",
        ] {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
        drop(sockets);
        refuse_taken(&listeners, nobody).unwrap();
        let twice = [
            at(CALLERS, one, "--listen"),
            at(CALLEE, one, "--callee-listen"),
        ];
        let sentence = refuse_taken(&twice, nobody).unwrap_err().sentence();
        assert!(sentence.contains("name the same port"), "{sentence}");
    }
}
