//! The store against a model, step by step: transactions, deliveries, crashes, and commits that a power
//! failure cut off. Time is simulated, and nothing runs beside: a seed repeats everything.

use super::*;
use crate::embedded::clock::TimeSource;
use crate::message::{BrokerMessage, Route};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;

const BEGINNING: u64 = 1_700_000_000_000;
/// Callbacks have so many ids, so that several messages of one id wait.
const IDS: u64 = 4;
const QUEUES: [Queue; 2] = [Queue::First, Queue::Retry];

/// A message of the model; its number is its place in the order of publishes, and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    queue: Queue,
    due: u64,
    taken: bool,
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
struct Model {
    now: u64,
    next: u64,
    messages: BTreeMap<u64, Known>,
}

/// A command of a transaction. `usize` chooses among the messages that were taken.
#[derive(Clone, Debug)]
enum Step {
    Publish(Where),
    Complete(usize),
    FollowUp(usize, Where),
    Remove(u64),
}

#[derive(Clone, Copy, Debug)]
enum Where {
    First,
    Later(u16),
    Dead,
}

#[derive(Clone, Debug)]
enum Transition {
    /// One transaction.
    Commit(Vec<Step>),
    /// A transaction of which the power failure leaves so much on the disk, in 1/256; the process ends.
    CutOff(Vec<Step>, u8),
    /// A consumer takes what comes next.
    Take(Queue),
    /// The process ends; everything that was taken comes again.
    Crash,
    Advance(u16),
}

impl Where {
    fn route(self) -> Route {
        match self {
            Self::First => Route::First,
            Self::Later(ms) => Route::Later(Duration::from_millis(ms.into())),
            Self::Dead => Route::Terminal(Queue::Dead),
        }
    }

    fn known(self, now: u64) -> Known {
        let (queue, due) = match self {
            Self::First => (Queue::First, now),
            // A fraction of the present millisecond has passed.
            Self::Later(ms) => (Queue::Retry, now + u64::from(ms) + u64::from(ms > 0)),
            Self::Dead => (Queue::Dead, now),
        };
        Known {
            queue,
            due,
            taken: false,
        }
    }
}

impl Model {
    fn taken(&self) -> Vec<u64> {
        let taken = self.messages.iter().filter(|(_, known)| known.taken);
        taken.map(|(number, _)| *number).collect()
    }

    /// Which of the taken messages a step is about, if there is any.
    fn chosen(&self, which: usize) -> Option<u64> {
        let taken = self.taken();
        (!taken.is_empty()).then(|| taken[which % taken.len()])
    }

    fn add(&mut self, place: Where) {
        self.messages.insert(self.next, place.known(self.now));
        self.next += 1;
    }

    /// `new`: the first number of the transaction. What it publishes, it does not remove.
    fn execute(&mut self, step: &Step, new: u64) {
        match step {
            Step::Publish(place) => self.add(*place),
            Step::Complete(which) => {
                if let Some(number) = self.chosen(*which) {
                    self.messages.remove(&number);
                }
            }
            Step::FollowUp(which, place) => {
                if let Some(number) = self.chosen(*which) {
                    self.add(*place);
                    self.messages.remove(&number);
                }
            }
            Step::Remove(id) => self
                .messages
                .retain(|number, known| *number >= new || !waits_with_id(*number, known, *id)),
        }
    }

    /// What is due in a queue, in the order in which it leaves.
    fn due(&self, queue: Queue) -> Vec<u64> {
        let due = |known: &Known| queue == Queue::First || known.due <= self.now;
        let waiting = self.messages.iter();
        let waiting = waiting.filter(|(_, it)| it.queue == queue && !it.taken && due(it));
        let mut keys: Vec<(u64, u64)> = waiting.map(|(number, it)| (it.due, *number)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, number)| number).collect()
    }

    fn count(&self, queue: Queue) -> i64 {
        let messages = self.messages.values();
        i64::try_from(messages.filter(|it| it.queue == queue).count()).unwrap()
    }
}

fn waits_with_id(number: u64, known: &Known, id: u64) -> bool {
    number % IDS == id && known.queue == Queue::Retry && !known.taken
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            now: BEGINNING,
            ..Self::default()
        })
        .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        let place = prop_oneof![
            3 => Just(Where::First),
            4 => (0_u16..2_000).prop_map(Where::Later),
            1 => Just(Where::Dead),
        ]
        .boxed();
        let step = prop_oneof![
            4 => place.clone().prop_map(Step::Publish),
            2 => any::<usize>().prop_map(Step::Complete),
            3 => (any::<usize>(), place).prop_map(|(which, place)| Step::FollowUp(which, place)),
            1 => (0..IDS).prop_map(Step::Remove),
        ]
        .boxed();
        let steps = || prop::collection::vec(step.clone(), 1..5);
        prop_oneof![
            8 => steps().prop_map(Transition::Commit),
            1 => (steps(), any::<u8>()).prop_map(|(steps, left)| Transition::CutOff(steps, left)),
            8 => prop::sample::select(QUEUES.to_vec()).prop_map(Transition::Take),
            1 => Just(Transition::Crash),
            3 => (1_u16..1_500).prop_map(Transition::Advance),
        ]
        .boxed()
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Commit(steps) => {
                let new = state.next;
                steps.iter().for_each(|step| state.execute(step, new));
            }
            Transition::Take(queue) => {
                if let Some(number) = state.due(*queue).first() {
                    state.messages.get_mut(number).unwrap().taken = true;
                }
            }
            // Nothing of a transaction that is not whole.
            Transition::CutOff(..) | Transition::Crash => {
                state.messages.values_mut().for_each(|it| it.taken = false);
            }
            Transition::Advance(ms) => state.now += u64::from(*ms),
        }
        state
    }
}

/// A clock that the test moves.
#[derive(Debug)]
struct SimulatedTime(AtomicU64);

impl TimeSource for SimulatedTime {
    fn wall_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.wall_ms())
    }

    fn boot(&self) -> Option<String> {
        None
    }
}

/// The real store, without its thread, and what a consumer of it holds.
struct Store {
    root: PathBuf,
    generation: u32,
    time: Arc<SimulatedTime>,
    thread: StoreThread,
    /// The model of before the next transition.
    model: Model,
    /// The store's numbers of what was taken.
    taken: BTreeMap<u64, i64>,
}

fn open(directory: &Path, time: &Arc<SimulatedTime>) -> StoreThread {
    let file = directory.join("queue.db");
    crate::embedded::check::check_database(&file).unwrap();
    let files = DataFiles::new(directory, vec![file.clone()]);
    let space = DiskSpace::new(directory, &file, 0, watch::channel(None).0);
    StoreThread::new(
        MessageTable::open(&file).unwrap(),
        Arc::default(),
        mpsc::channel().1,
        watch::channel(ConnectionState::Connected).0,
        watch::channel(ConnectionState::Connected).0,
        watch::channel(Depths::default()).0,
        Watched { space, files },
        StoreClock::new(time.clone()),
    )
    .unwrap()
}

fn number_in(body: &[u8]) -> u64 {
    str::from_utf8(body).unwrap().parse().unwrap()
}

impl Store {
    fn directory(&self) -> PathBuf {
        self.root.join(self.generation.to_string())
    }

    fn new_message(number: u64, place: Where, now: u64) -> NewMessage {
        let message = BrokerMessage {
            id: (number % IDS).to_string(),
            kind: "test",
            headers: Vec::new(),
            body: number.to_string().into_bytes().into(),
        };
        NewMessage::new(&place.route(), message, now)
    }

    /// The commands of a transaction, in a model that executes them as well.
    fn commands(&self, steps: &[Step]) -> Vec<(StoreCommand, Expected)> {
        let mut model = self.model.clone();
        let new = model.next;
        let mut commands = Vec::new();
        for step in steps {
            let (next, now) = (model.next, model.now);
            match step {
                Step::Publish(place) => {
                    let (reply, answer) = oneshot::channel();
                    let message = Self::new_message(next, *place, now);
                    let command = StoreCommand::Publish { message, reply };
                    commands.push((command, Expected::Published(answer)));
                }
                Step::Complete(which) | Step::FollowUp(which, _) => {
                    let Some(chosen) = model.chosen(*which) else {
                        continue;
                    };
                    let follow_up = match step {
                        Step::FollowUp(_, place) => Some(Self::new_message(next, *place, now)),
                        _ => None,
                    };
                    let (done, settled) = oneshot::channel();
                    let command = StoreCommand::Settle {
                        queue: model.messages[&chosen].queue,
                        number: self.taken[&chosen],
                        follow_up,
                        done: Some(done),
                    };
                    commands.push((command, Expected::Settled(settled)));
                }
                Step::Remove(id) => {
                    let known = model.messages.iter();
                    let removed = known
                        .filter(|(number, it)| **number < new && waits_with_id(**number, it, *id));
                    let removed = u32::try_from(removed.count()).unwrap();
                    let (reply, answer) = oneshot::channel();
                    let (id, below) = (id.to_string(), self.thread.next_number);
                    let command = StoreCommand::RemoveWaiting { id, below, reply };
                    commands.push((command, Expected::Removed(removed, answer)));
                }
            }
            model.execute(step, new);
        }
        commands
    }

    fn commit(&mut self, steps: &[Step]) -> Vec<Expected> {
        let (commands, expected) = self.commands(steps).into_iter().unzip();
        self.run(commands);
        expected
    }

    fn run(&mut self, commands: Vec<StoreCommand>) {
        let count = |commands: &[StoreCommand]| {
            let published = commands.iter();
            published
                .filter(|command| matches!(command, StoreCommand::Publish { .. }))
                .count()
        };
        let waiting = &self.thread.waiting_publishes;
        waiting.fetch_add(count(&commands), Ordering::Relaxed);
        let left = self.thread.commit(commands);
        assert!(left.is_empty(), "{left:?}");
    }

    /// Takes the next message of a queue, as a consumer does. What comes with it goes back.
    fn take(&mut self, queue: Queue) -> Option<u64> {
        let now = self.thread.clock.now_ms();
        let mut found = self.thread.queues.take(queue, now);
        if found.taken.is_empty() && found.wants_page {
            self.run(vec![StoreCommand::LoadPage { queue }]);
            found = self.thread.queues.take(queue, now);
        }
        let mut taken = found.taken.into_iter();
        let first = taken.next();
        let others = taken.map(|(key, _)| (key, false));
        self.thread.queues.put_back(queue, others);
        if found.wants_page {
            self.run(vec![StoreCommand::LoadPage { queue }]);
        }
        let (key, indexed) = first?;
        let body = match indexed.body {
            Some(body) => body,
            None => self.read(queue, key),
        };
        let number = number_in(&body);
        self.taken.insert(number, key.1);
        Some(number)
    }

    fn read(&mut self, queue: Queue, key: (u64, i64)) -> bytes::Bytes {
        let (reply, mut bodies) = oneshot::channel();
        let keys = vec![key];
        self.run(vec![StoreCommand::ReadBodies { queue, keys, reply }]);
        let bodies = bodies.try_recv().unwrap();
        bodies.into_iter().next().unwrap().unwrap().body
    }

    /// Continues from the files as they are, or as they are given.
    fn reopen(&mut self, files: &[(String, Vec<u8>)]) {
        self.generation += 1;
        let directory = self.directory();
        fs::create_dir_all(&directory).unwrap();
        for (name, bytes) in files {
            fs::write(directory.join(name), bytes).unwrap();
        }
        // The old one goes on to its own files, which nobody reads any more.
        self.thread = open(&directory, &self.time);
        self.taken.clear();
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let names = ["queue.db", "queue.db-wal"];
        let read =
            |name: &str| Some((name.to_owned(), fs::read(self.directory().join(name)).ok()?));
        names.into_iter().filter_map(read).collect()
    }
}

/// The answer that a command must get once it is durable.
enum Expected {
    Published(oneshot::Receiver<Result<(), PublishError>>),
    Settled(oneshot::Receiver<()>),
    Removed(u32, oneshot::Receiver<u32>),
}

impl Expected {
    fn verify(self) {
        match self {
            Self::Published(mut answer) => assert!(matches!(answer.try_recv(), Ok(Ok(())))),
            Self::Settled(mut settled) => assert_eq!(settled.try_recv(), Ok(())),
            Self::Removed(count, mut answer) => assert_eq!(answer.try_recv(), Ok(count)),
        }
    }
}

/// What a power failure leaves of the log: what was synced before, and a part of the rest.
fn cut_off(
    before: &[(String, Vec<u8>)],
    after: &[(String, Vec<u8>)],
    left: u8,
) -> Vec<(String, Vec<u8>)> {
    let mut files = before.to_vec();
    let log = |files: &[(String, Vec<u8>)]| {
        let found = files.iter().find(|(name, _)| name == "queue.db-wal");
        found.map_or_else(Vec::new, |(_, bytes)| bytes.clone())
    };
    let (synced, all) = (log(before), log(after));
    if all.len() > synced.len() && all.starts_with(&synced) {
        let unsynced = all.len() - synced.len();
        let length = synced.len() + unsynced * usize::from(left) / 256;
        files.retain(|(name, _)| name != "queue.db-wal");
        files.push(("queue.db-wal".to_owned(), all[..length].to_vec()));
    }
    files
}

struct StoreAgainstModel;

impl StateMachineTest for StoreAgainstModel {
    type SystemUnderTest = Store;
    type Reference = Model;

    fn init_test(model: &Model) -> Store {
        static TESTS: AtomicUsize = AtomicUsize::new(0);
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringback-store-model-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("0")).unwrap();
        let time = Arc::new(SimulatedTime(AtomicU64::new(BEGINNING)));
        Store {
            thread: open(&root.join("0"), &time),
            root,
            generation: 0,
            time,
            model: model.clone(),
            taken: BTreeMap::new(),
        }
    }

    fn apply(mut store: Store, after: &Model, transition: Transition) -> Store {
        match transition {
            Transition::Commit(steps) => {
                let answers = store.commit(&steps);
                answers.into_iter().for_each(Expected::verify);
            }
            Transition::CutOff(steps, left) => {
                let before = store.files();
                drop(store.commit(&steps));
                let after = store.files();
                store.reopen(&cut_off(&before, &after, left));
            }
            Transition::Crash => store.reopen(&store.files()),
            Transition::Take(queue) => {
                let expected = store.model.due(queue).first().copied();
                assert_eq!(store.take(queue), expected, "from {queue:?}");
            }
            Transition::Advance(ms) => {
                store.time.0.fetch_add(ms.into(), Ordering::Relaxed);
            }
        }
        store.model = after.clone();
        store
    }

    fn check_invariants(store: &Store, model: &Model) {
        for queue in [Queue::First, Queue::Retry, Queue::Dead] {
            let held = store.thread.totals[position(queue)];
            assert_eq!(held, model.count(queue), "{queue:?}");
            let on_disk = store.thread.table.count(queue).unwrap();
            assert_eq!(i64::from(on_disk), held, "{queue:?}");
        }
    }

    fn teardown(store: Store, _: Model) {
        let root = store.root.clone();
        drop(store);
        let _ = fs::remove_dir_all(root);
    }
}

/// Each step costs a sync: fewer cases than usual, unless more are asked for.
fn config() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(64),
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_store_does_what_its_model_does(sequential 1..80 => StoreAgainstModel);
}
