//! Answers the questions of other processes, asks them, and passes commands on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use broker::{Broker, Control, ControlSender};
use contract::control::{
    Ask, Command, ControlAnswer, ControlAnswerBody, ControlCommand, ControlMessage,
    ControlQuestion, InstanceReport,
};
use runtime::clock::now_ms;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::clock::{offset_ms, spread_ms};
use super::membership::{Membership, Silent};

/// How long the answers to a question are waited for. Silence is reported as silence.
const DEADLINE: Duration = Duration::from_millis(300);

/// How often a process that serves operators asks who is there, so that it can say who is silent.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(5);

/// Answers to one question that are kept. Beyond it, processes count as silent.
const MAX_ANSWERS: usize = 1_000;

/// How many questions about a callback, and how many others, are answered in a second. Further ones
/// are not.
const MAX_ANSWERED_PER_SECOND: u32 = 100;

/// A command takes effect at most once in this time.
const COMMAND_INTERVAL: Duration = Duration::from_secs(1);

/// How many of the processes that asked are remembered: they are told when this one stops, and asked
/// who holds a callback.
const MAX_ASKERS: usize = 64;

/// What a process knows of itself.
pub trait Responder: Send + Sync {
    /// Who it is, with its clock now.
    fn identity(&self) -> InstanceReport;

    /// Its answer to any question. Called for each: it must be quick.
    fn answer(&self, ask: Ask) -> ControlAnswerBody;
}

/// This process's end of the control plane. Cheap to clone.
#[derive(Clone)]
pub struct ControlPlane(Arc<Inner>);

struct Inner {
    /// This instance.
    instance: Uuid,
    broker: Broker,
    sender: ControlSender,
    address: watch::Receiver<Option<String>>,
    /// Whether other processes could be there.
    is_shared: bool,
    responder: Arc<dyn Responder>,
    started_at: Instant,
    state: Mutex<State>,
    commands: [CommandState; Command::ALL.len()],
}

#[derive(Default)]
struct State {
    /// By question: where its answers go.
    pending: HashMap<Uuid, mpsc::Sender<Answered>>,
    members: Membership,
    /// Where the last askers listen.
    askers: VecDeque<String>,
    /// The second in which questions were last answered, and how many: about a callback last.
    answered: (u64, [u32; 2]),
}

struct CommandState {
    arrived: Notify,
    effective: watch::Sender<u64>,
}

/// One answer, and when it came by the asker's clock, Unix ms.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) from: Uuid,
    pub(crate) body: ControlAnswerBody,
    pub(crate) at: u64,
}

/// The answers to a question. The first one is this process's own.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) answers: Vec<Answered>,
    /// When it was asked, Unix ms.
    pub(crate) asked_at: u64,
    pub(crate) silent: Vec<Silent>,
    /// Whether the question could be sent. If not, nothing is known of other processes.
    pub(crate) is_sent: bool,
}

impl Answers {
    /// The clocks of the processes against this one's.
    fn clock_offsets(&self) -> Vec<i64> {
        let own = self.answers.first().map(|own| own.from);
        let offset = |answer: &Answered| match &answer.body {
            ControlAnswerBody::Identity(_) if own == Some(answer.from) => Some(0),
            ControlAnswerBody::Identity(report) => {
                Some(offset_ms(report.clock, self.asked_at, answer.at))
            }
            _ => None,
        };
        self.answers.iter().filter_map(offset).collect()
    }
}

impl ControlPlane {
    /// Starts to answer, until `stop`. `is_shared`: other processes could be there. Call it inside a
    /// Tokio runtime, once for each process.
    #[must_use]
    pub fn start(
        broker: &Broker,
        is_shared: bool,
        responder: Arc<dyn Responder>,
        stop: &CancellationToken,
    ) -> Self {
        let control = broker.control();
        let plane = Self(Arc::new(Inner {
            instance: responder.identity().instance,
            broker: broker.clone(),
            sender: control.sender(),
            address: control.address(),
            is_shared,
            responder,
            started_at: Instant::now(),
            state: Mutex::default(),
            commands: Command::ALL.map(|_| CommandState {
                arrived: Notify::new(),
                effective: watch::Sender::new(0),
            }),
        }));
        tokio::spawn(plane.clone().run(control, stop.clone()));
        for command in Command::ALL {
            let commanding = plane.clone().pass_on(command);
            tokio::spawn(stop.clone().run_until_cancelled_owned(commanding));
        }
        plane
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.0.started_at.elapsed()
    }

    async fn run(self, mut control: Control, stop: CancellationToken) {
        while let Some(bytes) = stop.run_until_cancelled(control.next()).await {
            match ControlMessage::decode(&bytes) {
                Some(ControlMessage::Question(question)) => self.answer(question),
                Some(ControlMessage::Answer(answer)) => self.receive(answer),
                Some(ControlMessage::Command(command)) => self.follow_command(command.command),
                // Another version's.
                None => tracing::debug!("a control message is not understood"),
            }
        }
        self.announce_stop();
    }

    fn answer(&self, question: ControlQuestion) {
        let ControlQuestion {
            question_id,
            from,
            reply_to,
            ask,
        } = question;
        if from == self.0.instance || !self.may_answer(&reply_to, &ask) {
            return;
        }
        self.send_answer(reply_to, question_id, self.0.responder.answer(ask));
    }

    /// Notes who asks. `false`: too many questions this second.
    fn may_answer(&self, reply_to: &str, ask: &Ask) -> bool {
        let second = self.now().as_secs();
        let mut state = self.state();
        if state.answered.0 != second {
            state.answered = (second, [0; 2]);
        }
        // Callers' queries must not make a process look silent to operators.
        let count = &mut state.answered.1[usize::from(matches!(ask, Ask::Held(_)))];
        *count += 1;
        let is_answered = *count <= MAX_ANSWERED_PER_SECOND;
        if !state.askers.iter().any(|known| known == reply_to) {
            if state.askers.len() == MAX_ASKERS {
                state.askers.pop_front();
            }
            state.askers.push_back(reply_to.to_owned());
        }
        is_answered
    }

    fn send_answer(&self, reply_to: String, question_id: Uuid, body: ControlAnswerBody) {
        let answer = ControlMessage::Answer(ControlAnswer {
            question_id,
            from: self.0.instance,
            body,
        });
        self.0.broker.reply(reply_to, answer.encode());
    }

    /// So that a process that stops in order is not taken for a silent one.
    fn announce_stop(&self) {
        let askers = std::mem::take(&mut self.state().askers);
        for asker in askers {
            self.send_answer(asker, Uuid::nil(), ControlAnswerBody::Stopping);
        }
    }

    fn receive(&self, answer: ControlAnswer) {
        let ControlAnswer {
            question_id,
            from,
            body,
        } = answer;
        let (at, now) = (now_ms(), self.now());
        let mut state = self.state();
        match &body {
            ControlAnswerBody::Identity(report) => state.members.heard(report, now),
            ControlAnswerBody::Stopping => state.members.left(from),
            ControlAnswerBody::Targets(_)
            | ControlAnswerBody::Apps(_)
            | ControlAnswerBody::Held(_)
            | ControlAnswerBody::Probed(_)
            | ControlAnswerBody::Attempts(_) => {}
        }
        if let Some(pending) = state.pending.get(&question_id) {
            // Dropped when there are too many.
            let _ = pending.try_send(Answered { from, body, at });
        }
    }

    /// Asks all processes, and waits for [`DEADLINE`].
    pub(crate) async fn ask(&self, ask: Ask) -> Answers {
        let asked_at = now_ms();
        let own = Answered {
            from: self.0.instance,
            body: self.0.responder.answer(ask.clone()),
            at: asked_at,
        };
        let mut answers = vec![own];
        if !self.0.is_shared {
            return Answers {
                answers,
                asked_at,
                silent: Vec::new(),
                is_sent: true,
            };
        }
        let address = self.0.address.borrow().clone();
        let is_sent = address.is_some();
        if let Some(reply_to) = address {
            let (question_id, mut inbox, _pending) = self.begin_question();
            let question = ControlMessage::Question(ControlQuestion {
                question_id,
                from: self.0.instance,
                reply_to,
                ask,
            });
            self.0.sender.broadcast(question.encode());
            let collecting = async {
                while let Some(answer) = inbox.recv().await {
                    if answers.iter().all(|known| known.from != answer.from) {
                        answers.push(answer);
                    }
                }
            };
            let _ = tokio::time::timeout(DEADLINE, collecting).await;
        }
        let has_answered = |id: Uuid| answers.iter().any(|answer| answer.from == id);
        let silent = self.state().members.silent(has_answered, self.now());
        Answers {
            answers,
            asked_at,
            silent,
            is_sent,
        }
    }

    /// Whether a process says that it holds the callback. It asks only those that have asked this one,
    /// as every dispatcher does, and over the exchange for replies: an ingress may write to no other.
    /// `false`: none says so within [`DEADLINE`].
    pub async fn is_held(&self, request_id: Uuid) -> bool {
        let ask = Ask::Held(request_id);
        let holds = |body: &ControlAnswerBody| matches!(body, ControlAnswerBody::Held(Some(_)));
        if holds(&self.0.responder.answer(ask.clone())) {
            return true;
        }
        let askers = self.state().askers.clone();
        let Some(reply_to) = self.0.address.borrow().clone().filter(|_| self.0.is_shared) else {
            return false;
        };
        let (question_id, mut inbox, _pending) = self.begin_question();
        for asker in &askers {
            let question = ControlMessage::Question(ControlQuestion {
                question_id,
                from: self.0.instance,
                reply_to: reply_to.clone(),
                ask: ask.clone(),
            });
            self.0.broker.reply(asker.clone(), question.encode());
        }
        let mut silent = askers.len();
        let answering = async {
            while silent > 0 {
                match inbox.recv().await {
                    Some(answer) if holds(&answer.body) => return true,
                    Some(_) => silent -= 1,
                    None => return false,
                }
            }
            false
        };
        let answered = tokio::time::timeout(DEADLINE, answering).await;
        answered.unwrap_or(false)
    }

    /// A new question, which waits for answers until the guard is dropped: also if the client
    /// disconnects.
    fn begin_question(&self) -> (Uuid, mpsc::Receiver<Answered>, PendingGuard<'_>) {
        let question_id = Uuid::now_v7();
        let (sender, inbox) = mpsc::channel(MAX_ANSWERS);
        self.state().pending.insert(question_id, sender);
        let pending = PendingGuard {
            question_id,
            plane: self,
        };
        (question_id, inbox, pending)
    }

    /// Asks who is there from time to time, so that it is known who has become silent. `see` is told
    /// how far the clocks are apart; `None`: no other process has answered.
    pub(crate) async fn follow(&self, see: impl Fn(Option<Duration>)) {
        if !self.0.is_shared {
            return;
        }
        loop {
            let answers = self.ask(Ask::Identity).await;
            see(spread_ms(&answers.clock_offsets()).map(Duration::from_millis));
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }

    /// Sends a command to all processes, this one included.
    pub fn command(&self, command: Command) {
        self.follow_command(command);
        if self.0.is_shared {
            let message = ControlMessage::Command(ControlCommand {
                from: self.0.instance,
                command,
            });
            self.0.sender.broadcast(message.encode());
        }
    }

    /// Changes whenever the command is to be followed, at most once a second.
    #[must_use]
    pub fn commands(&self, command: Command) -> watch::Receiver<u64> {
        self.command_state(command).effective.subscribe()
    }

    fn command_state(&self, command: Command) -> &CommandState {
        let [pauses, reload, wake] = &self.0.commands;
        match command {
            Command::PausesChanged => pauses,
            Command::Reload => reload,
            Command::Wake => wake,
        }
    }

    fn follow_command(&self, command: Command) {
        // One that arrives while another one waits adds nothing to it.
        self.command_state(command).arrived.notify_one();
    }

    async fn pass_on(self, command: Command) {
        let state = self.command_state(command);
        loop {
            state.arrived.notified().await;
            state.effective.send_modify(|count| *count += 1);
            tokio::time::sleep(COMMAND_INTERVAL).await;
        }
    }
}

/// A question that is waiting for its answers.
struct PendingGuard<'a> {
    question_id: Uuid,
    plane: &'a ControlPlane,
}

impl Drop for PendingGuard<'_> {
    fn drop(&mut self) {
        self.plane.state().pending.remove(&self.question_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::embedded::EmbeddedOptions;
    use contract::control::HeldCallback;

    struct Process(InstanceReport);

    impl Responder for Process {
        fn identity(&self) -> InstanceReport {
            self.0.clone()
        }

        fn answer(&self, ask: Ask) -> ControlAnswerBody {
            match ask {
                Ask::Identity => ControlAnswerBody::Identity(Box::new(self.identity())),
                Ask::Held(_) => {
                    let held = (self.0.role != "bystander").then(HeldCallback::default);
                    ControlAnswerBody::Held(held)
                }
                Ask::Targets | Ask::Apps | Ask::ProbeNow(_) | Ask::Attempts(_) => {
                    ControlAnswerBody::Stopping
                } // Not asked here.
            }
        }
    }

    struct Fixture {
        broker: Broker,
        directory: std::path::PathBuf,
        stop: CancellationToken,
    }

    impl Fixture {
        fn new() -> Self {
            let name = format!("ringback-plane-{}", Uuid::now_v7().simple());
            let directory = std::env::temp_dir().join(name);
            let options = EmbeddedOptions {
                directory: directory.clone(),
                publish_timeout: Duration::from_secs(5),
                min_free_bytes: 0,
            };
            Self {
                broker: Broker::open(&options).unwrap(),
                directory,
                stop: CancellationToken::new(),
            }
        }

        fn process(&self, role: &str, stop: &CancellationToken) -> ControlPlane {
            let report = InstanceReport {
                instance: Uuid::now_v7(),
                role: role.to_owned(),
                ..InstanceReport::default()
            };
            ControlPlane::start(&self.broker, true, Arc::new(Process(report)), stop)
        }

        async fn close(self) {
            self.stop.cancel();
            self.broker.close().await;
            std::fs::remove_dir_all(self.directory).unwrap();
        }
    }

    fn roles(answers: &Answers) -> Vec<String> {
        let bodies = answers.answers.iter().map(|answer| &answer.body);
        let mut roles: Vec<String> = bodies
            .map(|body| match body {
                ControlAnswerBody::Identity(report) => report.role.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        roles[1..].sort();
        roles
    }

    #[tokio::test]
    async fn all_processes_answer_and_one_that_stops_in_order_is_not_silent() {
        let fixture = Fixture::new();
        let admin = fixture.process("admin", &fixture.stop);
        let leaves = CancellationToken::new();
        let _ingress = fixture.process("ingress", &fixture.stop);
        let _dispatcher = fixture.process("dispatcher", &leaves);
        let answers = admin.ask(Ask::Identity).await;
        assert_eq!(roles(&answers), ["admin", "dispatcher", "ingress"]);
        assert!(answers.is_sent && answers.silent.is_empty());
        let held = admin.ask(Ask::Held(Uuid::nil())).await;
        assert_eq!(held.answers.len(), 3);
        leaves.cancel();
        let answers = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let answers = admin.ask(Ask::Identity).await;
                if answers.answers.len() == 2 {
                    return answers;
                }
            }
        });
        assert_eq!(answers.await.unwrap().silent, []);
        assert!(admin.state().pending.is_empty());
        fixture.close().await;
    }

    #[tokio::test]
    async fn a_process_that_does_not_answer_is_silent() {
        let fixture = Fixture::new();
        let admin = fixture.process("admin", &fixture.stop);
        let frozen = InstanceReport {
            instance: Uuid::now_v7(),
            role: "dispatcher".to_owned(),
            ..InstanceReport::default()
        };
        admin.receive(ControlAnswer {
            question_id: Uuid::nil(),
            from: frozen.instance,
            body: ControlAnswerBody::Identity(Box::new(frozen.clone())),
        });
        let answers = admin.ask(Ask::Identity).await;
        assert_eq!(answers.answers.len(), 1);
        assert_eq!(answers.silent[0].report, frozen);
        fixture.close().await;
    }

    #[tokio::test]
    async fn a_command_reaches_all_and_takes_effect_at_most_once_a_second() {
        let fixture = Fixture::new();
        let planes = ["admin", "dispatcher"].map(|role| fixture.process(role, &fixture.stop));
        let begun = Instant::now();
        let mut pauses = planes
            .each_ref()
            .map(|it| it.commands(Command::PausesChanged));
        for _ in 0..500 {
            planes[0].command(Command::PausesChanged);
        }
        for changes in &mut pauses {
            let waited = Duration::from_secs(20);
            let reached = tokio::time::timeout(waited, changes.wait_for(|count| *count >= 2));
            reached.await.unwrap().unwrap();
        }
        let most = begun.elapsed().as_secs() + 2;
        assert!(pauses.iter().all(|changes| *changes.borrow() <= most));
        assert_eq!(*planes[1].commands(Command::Reload).borrow(), 0);
        fixture.close().await;
    }

    #[tokio::test]
    async fn a_process_that_may_not_ask_all_asks_those_that_asked_it() {
        let fixture = Fixture::new();
        let ingress = fixture.process("ingress", &fixture.stop);
        assert!(ingress.is_held(Uuid::nil()).await, "it holds it itself");
        let other = Process(InstanceReport {
            instance: Uuid::now_v7(),
            role: "bystander".to_owned(),
            ..InstanceReport::default()
        });
        let bystander = ControlPlane::start(&fixture.broker, true, Arc::new(other), &fixture.stop);
        assert!(!bystander.is_held(Uuid::nil()).await, "nobody has asked it");
        ingress.ask(Ask::Identity).await;
        assert!(bystander.is_held(Uuid::nil()).await);
        assert!(bystander.state().pending.is_empty());
        fixture.close().await;
    }

    #[tokio::test]
    async fn a_flood_of_questions_is_not_answered_for_ever() {
        let fixture = Fixture::new();
        let plane = fixture.process("admin", &fixture.stop);
        let answered = (0..5_000)
            .filter(|_| plane.may_answer("asker", &Ask::Targets))
            .count();
        assert!((100..=400).contains(&answered), "{answered}");
        assert_eq!(plane.state().askers.len(), 1);
        for number in 0..200 {
            plane.may_answer(&number.to_string(), &Ask::Targets);
        }
        assert_eq!(plane.state().askers.len(), MAX_ASKERS);
        fixture.close().await;
    }
}
