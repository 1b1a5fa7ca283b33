//! Latency of a writer and a reader while a day of the journal is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use journal::{Journal, Retention};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{DAY, Figures, Times, add_times, generate};

/// How long both are measured beforehand.
const BASELINE_TIME: Duration = Duration::from_secs(5);
const BATCH: usize = 100;

/// Runs all steps of a retention of 30 days.
pub(crate) async fn step(journal: &Journal, now: u64, figures: &mut Figures) {
    let month = Duration::from_secs(30 * 24 * 3600);
    let retention = Retention {
        callbacks: month,
        dead_letters: month,
        delivered: Duration::ZERO,
        audits: 12 * month,
        rollups: month,
    };
    let probes = Probes::start(journal, now);
    sleep(BASELINE_TIME).await;
    probes.end("before a retention", figures).await;

    let probes = Probes::start(journal, now);
    let (mut times, mut gone) = (Times::default(), 0);
    loop {
        let begun = Instant::now();
        let step = journal
            .apply_retention(retention, now)
            .await
            .expect("a step");
        times.record(begun.elapsed());
        gone += step.callbacks;
        if !step.more {
            break;
        }
    }
    probes.end("during a retention", figures).await;
    figures.add("retention: callbacks dropped", "", gone as f64);
    figures.add("retention: steps", "", times.len() as f64);
    add_times("retention: a step", &times, figures);
}

/// A writer of batches and a reader of single callbacks, both running without pauses.
struct Probes {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Times>,
    reader: JoinHandle<Times>,
}

impl Probes {
    fn start(journal: &Journal, now: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mine, stopped) = (journal.clone(), stop.clone());
        let writer = tokio::spawn(async move {
            let mut times = Times::default();
            while !stopped.load(Ordering::Relaxed) {
                let batch = (0..BATCH).map(|_| generate::delivered(now));
                let batch: Vec<_> = batch.collect();
                let begun = Instant::now();
                mine.record(&batch).await.expect("a stored batch");
                times.record(begun.elapsed());
            }
            times
        });
        let (mine, stopped) = (journal.clone(), stop.clone());
        let known = generate::delivered(now - 5 * DAY);
        let reader = tokio::spawn(async move {
            mine.record(std::slice::from_ref(&known))
                .await
                .expect("a stored record");
            let mut times = Times::default();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                mine.find(known.origin.request_id).await.expect("an answer");
                times.record(begun.elapsed());
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
        add_times(
            &format!("batch of {BATCH} written {when}"),
            &written,
            figures,
        );
        add_times(&format!("callback read {when}"), &read, figures);
    }
}
