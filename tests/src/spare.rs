//! On which broker do tests run that hurt it? On one that they take in turn.
//!
//! A node costs some seconds to start; the tests of faults and of load would also disturb one
//! another's measurements if they ran at once.

use std::ops::Deref;

use tokio::sync::{Mutex, MutexGuard};

use crate::Rabbit;

/// The spare node, in the hands of one test.
#[derive(Debug)]
pub struct Spare(MutexGuard<'static, Option<Node>>);

#[derive(Debug)]
struct Node {
    rabbit: Rabbit,
    sound: bool,
}

impl Spare {
    /// Waits for its turn and takes the node: sound, whatever the test before did to it.
    ///
    /// # Panics
    /// When RabbitMQ does not start.
    pub async fn take() -> Self {
        static NODE: Mutex<Option<Node>> = Mutex::const_new(None);
        let mut turn = NODE.lock().await;
        match &mut *turn {
            Some(node) if !node.sound => {
                node.rabbit.restart().await;
                node.sound = true;
            }
            Some(_) => {}
            None => {
                *turn = Some(Node {
                    rabbit: Rabbit::start().await,
                    sound: true,
                });
            }
        }
        Self(turn)
    }
}

impl Deref for Spare {
    type Target = Rabbit;

    fn deref(&self) -> &Rabbit {
        &self.0.as_ref().expect("set when taken").rabbit
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // A failed test may have left it dead or under an alarm.
        if std::thread::panicking()
            && let Some(node) = &mut *self.0
        {
            node.sound = false;
        }
    }
}
