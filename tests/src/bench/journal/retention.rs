//! Who waits while a day of the journal is dropped? A writer and a reader tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use journal::{Journal, Retention};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{DAY, Figures, generate, note};

/// For so long the two are watched beforehand.
const BEFORE: Duration = Duration::from_secs(5);
const BATCH: usize = 100;

/// Takes all steps that a retention of 30 days asks for.
pub(super) async fn step(journal: &Journal, now: u64, figures: &mut Figures) {
    let month = Duration::from_secs(30 * 24 * 3600);
    let retention = Retention {
        callbacks: month,
        bodies: month,
    };
    let watched = Watched::start(journal, now);
    sleep(BEFORE).await;
    watched.end("before a retention", figures).await;

    let watched = Watched::start(journal, now);
    let (mut times, mut gone) = (Vec::new(), 0);
    loop {
        let begun = Instant::now();
        let step = journal.retain(retention, now).await.expect("a step");
        times.push(begun.elapsed());
        gone += step.callbacks;
        if !step.more {
            break;
        }
    }
    watched.end("during a retention", figures).await;
    figures.add("retention: callbacks dropped", "", gone as f64);
    figures.add("retention: steps", "", times.len() as f64);
    note("retention: a step", times, figures);
}

/// A writer of batches and a reader of single callbacks, without a pause.
struct Watched {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Vec<Duration>>,
    reader: JoinHandle<Vec<Duration>>,
}

impl Watched {
    fn start(journal: &Journal, now: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mine, stopped) = (journal.clone(), stop.clone());
        let writer = tokio::spawn(async move {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let batch = (0..BATCH).map(|_| generate::delivered(now));
                let batch: Vec<_> = batch.collect();
                let begun = Instant::now();
                mine.record(&batch).await.expect("a stored batch");
                times.push(begun.elapsed());
            }
            times
        });
        let (mine, stopped) = (journal.clone(), stop.clone());
        let known = generate::delivered(now - 5 * DAY);
        let reader = tokio::spawn(async move {
            mine.record(std::slice::from_ref(&known))
                .await
                .expect("a stored record");
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                mine.find(known.origin.request_id).await.expect("an answer");
                times.push(begun.elapsed());
                sleep(Duration::from_millis(1)).await;
            }
            times
        });
        Self {
            stop,
            writer,
            reader,
        }
    }

    async fn end(self, when: &str, figures: &mut Figures) {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.writer.await.expect("a writer that ends well");
        let read = self.reader.await.expect("a reader that ends well");
        note(
            &format!("batch of {BATCH} written {when}"),
            written,
            figures,
        );
        note(&format!("callback read {when}"), read, figures);
    }
}
