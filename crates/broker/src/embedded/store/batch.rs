//! One transaction of the store's thread.

use super::command::{NewMessage, StoreCommand};
use super::schema::{MessageTable, StoredBody};
use super::state::QueueStates;
use crate::embedded::queue::index::MessageKey;
use crate::message::Queue;
use crate::publish_error::PublishError;
use bytes::Bytes;

/// As with RabbitMQ: a message that was delivered this often and never settled may be crashing the
/// process.
const DELIVERY_LIMIT: u32 = 100;

/// What has become durable and must now be applied in memory.
pub(super) enum StoreEffect {
    Stored {
        queue: Queue,
        key: MessageKey,
        body: Bytes,
    },
    /// A taken message was removed.
    Removed { queue: Queue, number: i64 },
    /// A taken message returns to its queue.
    Returned { queue: Queue, key: MessageKey },
    /// `page` is missing when it was no longer wanted.
    PageLoaded { queue: Queue, page: Option<KeyPage> },
}

/// Keys read from disk.
pub(super) struct KeyPage {
    /// The key before the page.
    pub(super) after: MessageKey,
    pub(super) keys: Vec<MessageKey>,
    /// There are no more keys after them.
    pub(super) is_last: bool,
}

/// A batch being executed.
pub(super) struct BatchTransaction<'a> {
    pub(super) queues: &'a QueueStates,
    pub(super) next_number: i64,
    /// Messages with lower numbers were on disk when the process started.
    pub(super) recovered_below: i64,
    pub(super) effects: Vec<StoreEffect>,
    pub(super) reads: Vec<Vec<Option<StoredBody>>>,
    /// How many messages each removal has removed.
    pub(super) removed: Vec<u32>,
    /// Messages of the retry queue that are being removed, with whether they were delivered before.
    pub(super) reserved: Vec<(MessageKey, bool)>,
}

fn is_over_limit(queue: Queue, stored: &StoredBody) -> bool {
    matches!(queue, Queue::First | Queue::Retry) && stored.deliveries >= DELIVERY_LIMIT
}

impl BatchTransaction<'_> {
    /// Executes one command within the surrounding transaction.
    pub(super) fn execute(
        &mut self,
        table: &MessageTable,
        command: &StoreCommand,
    ) -> rusqlite::Result<()> {
        match command {
            StoreCommand::Publish { message, .. } => self.insert(table, message),
            StoreCommand::Settle {
                queue,
                number,
                follow_up,
                ..
            } => {
                if let Some(message) = follow_up {
                    self.insert(table, message)?;
                }
                table.delete(*number)?;
                self.effects.push(StoreEffect::Removed {
                    queue: *queue,
                    number: *number,
                });
                Ok(())
            }
            StoreCommand::ReadBodies { queue, keys, .. } => {
                let read = keys.iter().map(|key| self.read(table, *queue, *key));
                let read = read.collect::<rusqlite::Result<_>>()?;
                self.reads.push(read);
                Ok(())
            }
            StoreCommand::Redeliver { queue, key, .. } => self.redeliver(table, *queue, *key),
            StoreCommand::RemoveWaiting { id, below, .. } => self.remove_waiting(table, id, *below),
            StoreCommand::LoadPage { queue } => self.load_page(table, *queue),
            StoreCommand::Dropped(_) | StoreCommand::Flush { .. } | StoreCommand::Stop { .. } => {
                Ok(())
            }
        }
    }

    fn insert(&mut self, table: &MessageTable, new: &NewMessage) -> rusqlite::Result<()> {
        let key = (new.due, self.next_number);
        self.next_number += 1;
        table.insert(new.queue, key, new.delay, &new.message)?;
        self.effects.push(StoreEffect::Stored {
            queue: new.queue,
            key,
            body: new.message.body.clone(),
        });
        Ok(())
    }

    fn read(
        &mut self,
        table: &MessageTable,
        queue: Queue,
        key: MessageKey,
    ) -> rusqlite::Result<Option<StoredBody>> {
        let number = key.1;
        let Some(mut stored) = table.read(queue, number)? else {
            return Ok(None);
        };
        if number < self.recovered_below {
            stored.recovered = true;
            if is_over_limit(queue, &stored) {
                self.move_to_delivery_limit(table, queue, key, stored.body)?;
                return Ok(None);
            }
            table.count_delivery(number)?;
        }
        Ok(Some(stored))
    }

    /// Counts the delivery of a dropped message, as RabbitMQ does, and returns it to its queue.
    fn redeliver(
        &mut self,
        table: &MessageTable,
        queue: Queue,
        key: MessageKey,
    ) -> rusqlite::Result<()> {
        let number = key.1;
        // The deliveries of the others are counted when their bodies are read.
        if number >= self.recovered_below {
            table.count_delivery(number)?;
        }
        match table.read(queue, number)? {
            Some(stored) if is_over_limit(queue, &stored) => {
                self.move_to_delivery_limit(table, queue, key, stored.body)?;
            }
            Some(_) | None => self.effects.push(StoreEffect::Returned { queue, key }),
        }
        Ok(())
    }

    fn move_to_delivery_limit(
        &mut self,
        table: &MessageTable,
        queue: Queue,
        key: MessageKey,
        body: Bytes,
    ) -> rusqlite::Result<()> {
        let number = key.1;
        table.move_to(number, Queue::DeliveryLimit)?;
        self.effects.push(StoreEffect::Removed { queue, number });
        self.effects.push(StoreEffect::Stored {
            queue: Queue::DeliveryLimit,
            key,
            body,
        });
        Ok(())
    }

    /// Removes what waits with this id. It is reserved first, as if a consumer had taken it, so
    /// that no consumer takes it before the transaction is durable.
    fn remove_waiting(
        &mut self,
        table: &MessageTable,
        id: &str,
        below: i64,
    ) -> rusqlite::Result<()> {
        let mut removed = 0;
        for key in table.waiting_with_id(id, below)? {
            let number = key.1;
            let Some(redelivered) = self.queues.reserve(Queue::Retry, key) else {
                continue;
            };
            self.reserved.push((key, redelivered));
            table.delete(number)?;
            self.effects.push(StoreEffect::Removed {
                queue: Queue::Retry,
                number,
            });
            removed += 1;
        }
        self.removed.push(removed);
        Ok(())
    }

    fn load_page(&mut self, table: &MessageTable, queue: Queue) -> rusqlite::Result<()> {
        let wanted = self
            .queues
            .lock()
            .get(&queue)
            .and_then(|state| state.index.wants_page());
        let page = match wanted {
            None => None,
            Some((after, limit)) => {
                let keys = table.page(queue, after, limit)?;
                let is_last = keys.len() < limit;
                Some(KeyPage {
                    after,
                    keys,
                    is_last,
                })
            }
        };
        self.effects.push(StoreEffect::PageLoaded { queue, page });
        Ok(())
    }
}

/// Answers the commands of a batch that has become durable; `callbacks` is the answer to those who
/// published a new callback.
pub(super) fn answer(
    batch: Vec<StoreCommand>,
    reads: Vec<Vec<Option<StoredBody>>>,
    removed: Vec<u32>,
    callbacks: &Result<(), PublishError>,
) {
    let (mut reads, mut removed) = (reads.into_iter(), removed.into_iter());
    // If a receiver was dropped, the command is durable anyway.
    for command in batch {
        match command {
            StoreCommand::Publish { message, reply } => {
                let answer = if message.is_callback {
                    callbacks.clone()
                } else {
                    Ok(())
                };
                let _ = reply.send(answer);
            }
            StoreCommand::Settle {
                done: Some(done), ..
            }
            | StoreCommand::Flush { done }
            | StoreCommand::Stop { done } => {
                let _ = done.send(());
            }
            StoreCommand::ReadBodies { reply, .. } => {
                let _ = reply.send(reads.next().unwrap_or_default());
            }
            StoreCommand::RemoveWaiting { reply, .. } => {
                let _ = reply.send(removed.next().unwrap_or_default());
            }
            StoreCommand::Settle { done: None, .. }
            | StoreCommand::Dropped(_)
            | StoreCommand::Redeliver { .. }
            | StoreCommand::LoadPage { .. } => {}
        }
    }
}
