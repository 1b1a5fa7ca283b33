//! An upgrade under load, one role after the other, in both orders, and a way back.

use std::collections::BTreeSet;

use tests::callers::{CallerAnswer, accepted_ids};
use tests::{Callers, eventually};

use super::{Node, READY_TIMEOUT, Site, Version};

const CALLERS: usize = 4;
/// Accepted at each stage.
const STAGE: usize = 60;
/// One in three needs a second attempt, so that messages wait while processes change.
const PATHS: [&str; 3] = ["/ok", "/flaky/1", "/ok"];

/// Callers whose callbacks go to one ingress.
fn callers(site: &Site, ingress: &Node) -> Callers {
    let targets: Vec<String> = PATHS.iter().map(|path| site.callee.url(path)).collect();
    Callers::start(ingress.address, &targets, CALLERS, u64::MAX)
}

/// Sends some callbacks to an ingress.
async fn stage(site: &Site, ingress: &Node, answers: &mut Vec<CallerAnswer>) {
    let callers = callers(site, ingress);
    callers.accepted_more(STAGE).await;
    answers.extend(callers.stop().await);
}

/// Graceful stops repeat no attempt.
fn none_repeated(site: &Site, answers: &[CallerAnswer]) {
    let accepted: BTreeSet<&str> = accepted_ids(answers).collect();
    let received = site.callee.requests.received();
    let attempts: Vec<(&str, u32)> = received
        .iter()
        .filter_map(|one| Some((one.id.as_deref()?, one.attempt?)))
        .filter(|(id, _)| accepted.contains(id))
        .collect();
    let distinct: BTreeSet<_> = attempts.iter().collect();
    assert_eq!(distinct.len(), attempts.len(), "an attempt was repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatchers_first_loses_nothing_and_each_version_reads_the_others_records() {
    let Some(site) = Site::prepare().await else {
        return;
    };
    let old_ingress = site.start(Version::Old, "ingress").await;
    let old_dispatcher = site.start(Version::Old, "dispatcher").await;
    let load = callers(&site, &old_ingress);
    load.accepted_more(STAGE).await;
    let new_dispatcher = site.start(Version::New, "dispatcher").await;
    load.accepted_more(STAGE).await;
    old_dispatcher.stop().await;
    // An old ingress, and new dispatchers alone.
    load.accepted_more(STAGE).await;
    let new_ingress = site.start(Version::New, "ingress").await;
    let mut answers = load.stop().await;
    stage(&site, &new_ingress, &mut answers).await;
    site.all_delivered(&answers, &[&old_ingress, &new_ingress])
        .await;
    old_ingress.stop().await;
    stage(&site, &new_ingress, &mut answers).await;
    site.all_delivered(&answers, &[&new_ingress]).await;
    none_repeated(&site, &answers);
    new_dispatcher.stop().await;
    new_ingress.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingress_first_loses_nothing_and_a_dispatcher_of_before_goes_back_in() {
    let Some(site) = Site::prepare().await else {
        return;
    };
    let old_ingress = site.start(Version::Old, "ingress").await;
    let old_dispatcher = site.start(Version::Old, "dispatcher").await;
    let mut answers = Vec::new();
    stage(&site, &old_ingress, &mut answers).await;
    let new_ingress = site.start(Version::New, "ingress").await;
    old_ingress.stop().await;
    // A new ingress, and old dispatchers alone.
    stage(&site, &new_ingress, &mut answers).await;
    let delivered_by_old = answers.clone();
    site.all_delivered(&delivered_by_old, &[]).await;
    let load = callers(&site, &new_ingress);
    load.accepted_more(STAGE).await;
    let new_dispatcher = site.start(Version::New, "dispatcher").await;
    old_dispatcher.stop().await;
    load.accepted_more(STAGE).await;
    answers.extend(load.stop().await);
    site.all_delivered(&answers, &[&new_ingress]).await;
    none_repeated(&site, &answers);

    // The way back: 0.2.0 refuses a journal that the newer version has migrated.
    new_dispatcher.stop().await;
    stage(&site, &new_ingress, &mut answers).await;
    let refused = site.spawn(Version::Old, "dispatcher");
    eventually("0.2.0 to refuse the journal", READY_TIMEOUT, async || {
        let log = refused.process.log();
        let reason = "a newer ringback made it";
        log.contains(reason).then_some(()).ok_or(log)
    })
    .await;
    drop(refused);
    // It is the journal alone: nothing accepted is lost by going forward again.
    let new_dispatcher = site.start(Version::New, "dispatcher").await;
    site.all_delivered(&answers, &[&new_ingress]).await;
    new_dispatcher.stop().await;
    new_ingress.stop().await;
}
