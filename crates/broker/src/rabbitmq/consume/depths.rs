//! Reads how many messages wait in every queue.
//!
//! By passive declares, which need no permission and no plugin: the work queues once a second, the
//! delay queues in turn, so that each is read every [`ROUND`] s. They go through one channel, one
//! after the other. A declare that is not answered within [`ANSWER_TIMEOUT`] keeps that channel to
//! itself until it is answered, its queue is not asked again meanwhile, and the others go on through
//! a new channel: one silent queue hides no other.

use crate::message::Queue;
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::monitor::Monitor;
use crate::rabbitmq::topology::delay::LEVELS;
use crate::rabbitmq::topology::objects::Topology;
use crate::state::{Depth, Depths};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// In how many polls all delay queues are read.
const ROUND: u32 = 5;
/// A queue that has not answered within this time is silent: its last value is kept as stale.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a doubtful zero must be read before it is believed.
const ZEROS: u32 = 3;
/// So many delayed messages may leave a level between two looks without a doubt.
const FEW_DELAYED: u32 = 100;

/// A queue whose depth is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The position in [`Queue::ALL`].
    Queue(usize),
    /// The level of a delay queue.
    Delay(u32),
}

impl Place {
    fn all() -> impl Iterator<Item = Self> {
        let queues = (0..Queue::ALL.len()).map(Self::Queue);
        queues.chain((0..LEVELS).map(Self::Delay))
    }

    /// Whether it is read in this poll. The first one reads everything.
    const fn is_read_in(self, poll: u32) -> bool {
        match self {
            Self::Queue(_) => true,
            Self::Delay(level) => poll == 0 || level % ROUND == poll % ROUND,
        }
    }

    fn name(self, topology: &Topology) -> String {
        match self {
            Self::Queue(position) => topology.queue_name(Queue::ALL[position]),
            Self::Delay(level) => topology.delay_level(level),
        }
    }
}

/// What a declare answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    messages: u32,
    consumers: u32,
    /// It came after [`ANSWER_TIMEOUT`].
    late: bool,
}

/// The depths as put together from the answers. Pure.
#[derive(Debug, Default)]
struct Readings(BTreeMap<Place, Reading>);

/// What is known of one queue.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    depth: Depth,
    /// In the last answer that was believed.
    consumers: u32,
    /// How often in a row a doubtful zero was read.
    zeros: u32,
}

impl Readings {
    /// Takes an answer in.
    ///
    /// RabbitMQ answers 0 messages and 0 consumers for a quorum queue whose leader is away, some of
    /// the time only after its own timeout. With a consumer, a zero comes from the leader. Without
    /// one it is doubtful if it came late or if there were consumers or messages before, and is
    /// believed when it was read several times in a row. (A few messages may well have left a delay
    /// queue between two looks.)
    fn answered(&mut self, place: Place, answer: Answer) {
        let reading = self.0.entry(place).or_default();
        let few = match place {
            Place::Queue(_) => 0,
            Place::Delay(_) => FEW_DELAYED,
        };
        let was_used =
            reading.consumers > 0 || reading.depth.last_known().is_some_and(|known| known > few);
        let doubtful = answer.messages == 0 && answer.consumers == 0 && (answer.late || was_used);
        if doubtful && reading.zeros + 1 < ZEROS {
            reading.zeros += 1;
            reading.depth = reading.depth.into_stale();
        } else {
            *reading = Reading {
                depth: Depth::fresh(answer.messages),
                consumers: answer.consumers,
                zeros: 0,
            };
        }
    }

    fn silent(&mut self, place: Place) {
        let reading = self.0.entry(place).or_default();
        reading.depth = reading.depth.into_stale();
    }

    fn depths(&self) -> Depths {
        let reading = |place| self.0.get(&place).copied().unwrap_or_default();
        let of = |place| reading(place).depth;
        let mut depths = Depths::default();
        for (position, queue) in Queue::ALL.into_iter().enumerate() {
            let Reading {
                depth, consumers, ..
            } = reading(Place::Queue(position));
            depths.set(queue, depth);
            depths.consumers[position] = depth.current().map(|_| consumers);
        }
        depths.delayed = (0..LEVELS)
            .map(|level| of(Place::Delay(level)))
            .fold(Depth::fresh(0), Depth::plus);
        depths
    }
}

/// Reads the depths while the broker is up; without a connection the last values are stale.
pub(in crate::rabbitmq) async fn watch_depths(
    connection: ManagedConnection,
    topology: Arc<Topology>,
    depths: watch::Sender<Depths>,
) {
    let mut readings = Readings::default();
    while let Some(session) = connection.session().await {
        let mut poller = Poller {
            session: &session,
            topology: &topology,
            monitor: connection.monitor(),
            channel: None,
            unanswered: FuturesUnordered::new(),
            silent: BTreeSet::new(),
        };
        tokio::select! {
            () = session.down.cancelled() => {}
            failed = poller.run(&mut readings, &depths) => if let Err(error) = failed {
                session.fail(format!("reading the queues' depths failed: {error}"));
            },
        }
        drop(poller);
        depths.send_modify(Depths::mark_stale);
    }
}

type Answered = lapin::Result<Answer>;

/// Reads the depths through one session.
struct Poller<'a> {
    session: &'a Session,
    topology: &'a Topology,
    monitor: &'a Monitor,
    /// The channel of the next declare; none after one that was not answered.
    channel: Option<Channel>,
    /// The declares that were not answered in time, at most one for each queue.
    unanswered: FuturesUnordered<BoxFuture<'static, (Place, Answered)>>,
    silent: BTreeSet<Place>,
}

impl Poller<'_> {
    async fn run(
        &mut self,
        readings: &mut Readings,
        depths: &watch::Sender<Depths>,
    ) -> lapin::Result<()> {
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut poll = 0;
        loop {
            tokio::select! {
                Some((place, answered)) = self.unanswered.next(), if !self.silent.is_empty() => {
                    self.silent.remove(&place);
                    self.take(place, answered, readings)?;
                }
                _ = interval.tick() => {
                    // A blocked connection writes nothing, so the request would not leave.
                    if self.session.is_blocked() {
                        depths.send_modify(Depths::mark_stale);
                        continue;
                    }
                    self.poll(poll, readings).await?;
                    poll = poll.wrapping_add(1);
                    depths.send_replace(readings.depths());
                }
            }
        }
    }

    /// Takes an answer in. A queue that is missing hides no other; the topology's keeper is told.
    fn take(&self, place: Place, answered: Answered, readings: &mut Readings) -> lapin::Result<()> {
        match answered {
            Ok(answer) => readings.answered(place, answer),
            Err(error) if error.is_amqp_soft_error() => {
                readings.silent(place);
                self.monitor.suspect_topology();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn poll(&mut self, poll: u32, readings: &mut Readings) -> lapin::Result<()> {
        for place in Place::all().filter(|place| place.is_read_in(poll)) {
            if self.silent.contains(&place) {
                readings.silent(place);
                continue;
            }
            let channel = match self.channel.take() {
                Some(channel) => channel,
                None => self.session.connection.create_channel().await?,
            };
            let name = place.name(self.topology);
            let mut declared: BoxFuture<'static, (Channel, lapin::Result<(u32, u32)>)> =
                Box::pin(async move {
                    let declared = declare(&channel, &name).await;
                    (channel, declared)
                });
            if let Ok((channel, declared)) =
                tokio::time::timeout(ANSWER_TIMEOUT, &mut declared).await
            {
                if declared.is_ok() {
                    self.channel = Some(channel);
                }
                let answer = declared.map(|(messages, consumers)| Answer {
                    messages,
                    consumers,
                    late: false,
                });
                self.take(place, answer, readings)?;
                continue;
            }
            readings.silent(place);
            self.silent.insert(place);
            self.unanswered.push(Box::pin(async move {
                let (channel, declared) = declared.await;
                // It has done its duty: the others have a new one.
                let _ = channel.close(200, "OK".into()).await;
                let answer = declared.map(|(messages, consumers)| Answer {
                    messages,
                    consumers,
                    late: true,
                });
                (place, answer)
            }));
        }
        Ok(())
    }
}

/// The messages and the consumers of a queue.
async fn declare(channel: &Channel, name: &str) -> lapin::Result<(u32, u32)> {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let queue = channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await?;
    Ok((queue.message_count(), queue.consumer_count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Place = Place::Queue(0);

    fn answer(messages: u32, consumers: u32) -> Answer {
        Answer {
            messages,
            consumers,
            late: false,
        }
    }

    #[test]
    fn all_queues_are_read_at_first_and_the_delay_queues_in_turn_afterwards() {
        assert!(Place::all().all(|place| place.is_read_in(0)));
        for poll in 1..20 {
            let read: Vec<Place> = Place::all()
                .filter(|place| place.is_read_in(poll))
                .collect();
            assert_eq!(read.len(), Queue::ALL.len() + 4, "{read:?}");
        }
        for level in 0..LEVELS {
            let read = (1..=ROUND).filter(|poll| Place::Delay(level).is_read_in(*poll));
            assert_eq!(read.count(), 1, "{level}");
        }
    }

    #[test]
    fn what_has_not_been_read_is_unknown_and_what_is_silent_is_stale() {
        let mut readings = Readings::default();
        readings.silent(FIRST);
        assert_eq!(readings.depths(), Depths::default());
        for level in 0..LEVELS {
            readings.answered(Place::Delay(level), answer(2, 0));
        }
        assert_eq!(readings.depths().delayed, Depth::fresh(2 * LEVELS));
        readings.silent(Place::Delay(7));
        assert_eq!(readings.depths().delayed, Depth::stale(2 * LEVELS));
        readings.answered(Place::Delay(7), answer(3, 0));
        assert_eq!(readings.depths().delayed, Depth::fresh(2 * LEVELS + 1));
    }

    #[test]
    fn a_zero_that_an_absent_leader_could_have_caused_is_believed_only_when_repeated() {
        let mut readings = Readings::default();
        readings.answered(FIRST, answer(0, 0));
        assert_eq!(readings.depths().first, Depth::fresh(0));
        readings.answered(FIRST, answer(9, 0));
        for _ in 1..ZEROS {
            readings.answered(FIRST, answer(0, 0));
            assert_eq!(readings.depths().first, Depth::stale(9));
        }
        // The leader is back.
        readings.answered(FIRST, answer(8, 0));
        for _ in 1..ZEROS {
            readings.answered(FIRST, answer(0, 0));
            assert_eq!(readings.depths().first, Depth::stale(8));
        }
        readings.answered(FIRST, answer(0, 0));
        assert_eq!(readings.depths().first, Depth::fresh(0));
    }

    #[test]
    fn a_zero_with_a_consumer_comes_from_the_leader() {
        let mut readings = Readings::default();
        readings.answered(FIRST, answer(9, 1));
        readings.answered(FIRST, answer(0, 1));
        assert_eq!(readings.depths().first, Depth::fresh(0));
    }

    #[test]
    fn a_zero_without_the_consumers_of_before_is_doubtful() {
        let mut readings = Readings::default();
        readings.answered(FIRST, answer(0, 1));
        readings.answered(FIRST, answer(0, 0));
        assert_eq!(readings.depths().first, Depth::stale(0));
    }

    #[test]
    fn a_few_delayed_messages_may_leave_at_once_but_not_many() {
        let (level, mut readings) = (Place::Delay(3), Readings::default());
        for level in 0..LEVELS {
            readings.answered(Place::Delay(level), answer(0, 0));
        }
        readings.answered(level, answer(FEW_DELAYED, 0));
        readings.answered(level, answer(0, 0));
        assert_eq!(readings.depths().delayed, Depth::fresh(0));
        readings.answered(level, answer(FEW_DELAYED + 1, 0));
        readings.answered(level, answer(0, 0));
        assert_eq!(readings.depths().delayed, Depth::stale(FEW_DELAYED + 1));
    }

    #[test]
    fn a_first_zero_that_came_late_is_doubtful() {
        let mut readings = Readings::default();
        let late = Answer {
            late: true,
            ..answer(0, 0)
        };
        readings.answered(FIRST, late);
        assert_eq!(readings.depths().first.last_known(), None);
        readings.answered(FIRST, answer(5, 0));
        assert_eq!(readings.depths().first, Depth::fresh(5));
    }
}
