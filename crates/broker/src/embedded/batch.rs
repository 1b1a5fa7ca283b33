//! What is the store asked, and what does one transaction of it do?

use super::index::Key;
use super::shared::Shared;
use super::table::{Stored, Table};
use crate::{Lane, Message, PublishError};
use bytes::Bytes;
use tokio::sync::oneshot;

/// As over RabbitMQ: what was handed out this often and never settled may be what kills the process.
const DELIVERY_LIMIT: u32 = 100;

/// A message on its way into a lane.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) lane: Lane,
    /// Unix ms.
    pub(super) due: u64,
    pub(super) message: Message,
}

/// What the store is asked.
#[derive(Debug)]
pub(super) enum Ask {
    Publish {
        put: Put,
        reply: oneshot::Sender<Result<(), PublishError>>,
    },
    /// Lets a message go, together with what follows from it. Never refused: tried until it is done.
    Settle {
        lane: Lane,
        number: i64,
        follow_up: Option<Put>,
        done: Option<oneshot::Sender<()>>,
    },
    /// Reads bodies; a message that lay there before this process began is counted first.
    Read {
        lane: Lane,
        keys: Vec<Key>,
        reply: oneshot::Sender<Vec<Option<Stored>>>,
    },
    Page {
        lane: Lane,
    },
    /// Answered when everything asked before is durable.
    Flush {
        done: oneshot::Sender<()>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// What has become durable and must now be known in memory.
pub(super) enum Effect {
    Put {
        lane: Lane,
        key: Key,
        body: Bytes,
    },
    Gone {
        lane: Lane,
        number: i64,
    },
    /// `page` is missing when none was wanted any more.
    Page {
        lane: Lane,
        page: Option<Page>,
    },
}

/// Keys read from disk.
pub(super) struct Page {
    /// They lie after this key.
    pub(super) after: Key,
    pub(super) keys: Vec<Key>,
    /// There are no more after them.
    pub(super) whole: bool,
}

/// A batch being done.
pub(super) struct Work<'a> {
    pub(super) shared: &'a Shared,
    pub(super) next_number: i64,
    /// Messages below it lay on disk when the process began.
    pub(super) recovered_below: i64,
    pub(super) effects: Vec<Effect>,
    pub(super) reads: Vec<Vec<Option<Stored>>>,
}

impl Work<'_> {
    /// Does one ask, within the transaction around it.
    pub(super) fn perform(&mut self, table: &Table, ask: &Ask) -> rusqlite::Result<()> {
        match ask {
            Ask::Publish { put, .. } => self.insert(table, put),
            Ask::Settle {
                lane,
                number,
                follow_up,
                ..
            } => {
                if let Some(put) = follow_up {
                    self.insert(table, put)?;
                }
                table.delete(*number)?;
                self.effects.push(Effect::Gone {
                    lane: *lane,
                    number: *number,
                });
                Ok(())
            }
            Ask::Read { lane, keys, .. } => {
                let read = keys.iter().map(|key| self.read(table, *lane, *key));
                let read = read.collect::<rusqlite::Result<_>>()?;
                self.reads.push(read);
                Ok(())
            }
            Ask::Page { lane } => {
                let wanted = self
                    .shared
                    .lanes()
                    .get(lane)
                    .and_then(|it| it.index.wants_page());
                let page = match wanted {
                    None => None,
                    Some((after, most)) => {
                        let keys = table.page(*lane, after, most)?;
                        Some(Page {
                            after,
                            whole: keys.len() < most,
                            keys,
                        })
                    }
                };
                self.effects.push(Effect::Page { lane: *lane, page });
                Ok(())
            }
            Ask::Flush { .. } | Ask::Stop { .. } => Ok(()),
        }
    }

    fn insert(&mut self, table: &Table, put: &Put) -> rusqlite::Result<()> {
        let key = (put.due, self.next_number);
        self.next_number += 1;
        table.insert(put.lane, key, &put.message)?;
        let body = put.message.body.clone();
        self.effects.push(Effect::Put {
            lane: put.lane,
            key,
            body,
        });
        Ok(())
    }

    fn read(&mut self, table: &Table, lane: Lane, key: Key) -> rusqlite::Result<Option<Stored>> {
        let mut stored = table.read(lane, key.1)?;
        if key.1 < self.recovered_below
            && let Some(found) = &mut stored
        {
            found.recovered = true;
            let work = matches!(lane, Lane::First | Lane::Retry);
            if work && found.deliveries >= DELIVERY_LIMIT {
                table.move_to(key.1, Lane::DeliveryLimit)?;
                let body = found.body.clone();
                self.effects.push(Effect::Gone {
                    lane,
                    number: key.1,
                });
                self.effects.push(Effect::Put {
                    lane: Lane::DeliveryLimit,
                    key,
                    body,
                });
                stored = None;
            } else {
                table.count_delivery(key.1)?;
            }
        }
        Ok(stored)
    }
}

/// Tells the askers of a batch that it is durable.
pub(super) fn answer(batch: Vec<Ask>, reads: Vec<Vec<Option<Stored>>>) {
    let mut reads = reads.into_iter();
    // An asker that has left is no matter: what it asked for is durable.
    for ask in batch {
        match ask {
            Ask::Publish { reply, .. } => {
                let _ = reply.send(Ok(()));
            }
            Ask::Settle {
                done: Some(done), ..
            }
            | Ask::Flush { done }
            | Ask::Stop { done } => {
                let _ = done.send(());
            }
            Ask::Read { reply, .. } => {
                let _ = reply.send(reads.next().unwrap_or_default());
            }
            Ask::Settle { done: None, .. } | Ask::Page { .. } => {}
        }
    }
}
