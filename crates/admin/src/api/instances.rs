//! `/admin/v1/instances`: the processes of the gateway.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::{Ask, ControlAnswerBody, InstanceReport};

use super::process_view::{InstanceView, SeenBy, SeenPage};
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::ItemsPage;
use crate::control::{Answers, offset_ms, skewed};
use crate::doctor::said::{Said, say};

/// The settings of one process: a hash for each section.
type Sections = BTreeMap<String, String>;

/// `GET /admin/v1/instances`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    query_params::only(http.query_string(), &[])?;
    ok(&page(&state).await)
}

/// All processes.
pub(crate) async fn page(state: &AdminState) -> SeenPage<InstanceView> {
    view(&state.control.ask(Ask::Identity).await)
}

fn view(answers: &Answers) -> SeenPage<InstanceView> {
    let mut reports: Vec<(&InstanceReport, Option<i64>)> = Vec::new();
    for answer in &answers.answers {
        if let ControlAnswerBody::Identity(report) = &answer.body {
            // The first one is the asker itself.
            let offset = match reports.is_empty() {
                true => 0,
                false => offset_ms(report.clock, answers.asked_at, answer.at),
            };
            reports.push((report, Some(offset)));
        }
    }
    let seen_by = SeenBy::of(reports.len(), &answers.silent, answers.is_sent);
    let mut warnings = seen_by.warnings();
    warnings.extend(clock_warnings(&reports));
    let silent = answers.silent.iter();
    reports.extend(silent.map(|silent| (&silent.report, None)));
    let usual = usual_settings(reports.iter().map(|(report, _)| *report));
    let mut items: Vec<InstanceView> = Vec::new();
    for (report, offset) in reports {
        let mut item = InstanceView::of(report, answers.asked_at);
        item.answered = offset.is_some();
        item.clock_offset_ms = offset;
        item.settings = hash_of(&report.settings);
        if let Some(usual) = usual.get(&*report.role) {
            item.settings_differ = differing(&report.settings, usual);
        }
        if let Some(silent) = answers
            .silent
            .iter()
            .find(|it| it.report.instance == report.instance)
        {
            item.heard_s_ago = Some(silent.heard_ago.as_secs());
        }
        warnings.extend(settings_warnings(report, &item.settings_differ));
        items.push(item);
    }
    items.sort_by(|a, b| {
        let key = |item: &InstanceView| (item.role.clone(), item.host.clone(), item.pid);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.instance.cmp(&b.instance))
    });
    SeenPage {
        page: ItemsPage { items, next: None },
        seen_by,
        warnings,
    }
}

fn clock_warnings(reports: &[(&InstanceReport, Option<i64>)]) -> Vec<Said> {
    let offsets: Vec<i64> = reports.iter().filter_map(|(_, offset)| *offset).collect();
    let skews = skewed(&offsets).into_iter();
    let sentences = skews.filter_map(|skew| {
        let (report, _) = reports.get(skew.index)?;
        let seconds = skew.ahead_ms.unsigned_abs().div_ceil(100);
        let (whole, tenths) = (seconds / 10, seconds % 10);
        let (side, side_zh) = match skew.ahead_ms > 0 {
            true => ("ahead of", "快"),
            false => ("behind", "慢"),
        };
        let name = report.name();
        Some(say!(
            "the clock of {name} is {whole}.{tenths} s {side} the others': set it by NTP; due times, \
             signatures and ages are wrong by as much",
            "{name} 的时钟比其他进程{side_zh} {whole}.{tenths} 秒：请用 NTP 校准；到期时间、签名和时长的误差与之相同"
        ))
    });
    sentences.collect()
}

fn settings_warnings(report: &InstanceReport, differing: &[String]) -> Vec<Said> {
    let name = report.name();
    let mut warnings = Vec::new();
    if !differing.is_empty() {
        let sections = differing.join(", ");
        warnings.push(say!(
            "{name} has other settings than most of its role, in: {sections}",
            "{name} 的设置与多数同类进程不同：{sections}"
        ));
    }
    if let Some(reload) = &report.reload {
        let at = contract::rfc3339(reload.at);
        if let Some(reason) = &reload.refused {
            warnings.push(say!(
                "{name} refused its new settings at {at} and keeps the previous ones: {reason}",
                "{name} 于 {at} 拒绝了新的设置，继续使用原有设置：{reason}"
            ));
        } else if !reload.restart.is_empty() {
            let keys = reload.restart.join(", ");
            warnings.push(say!(
                "{name} needs a restart for changed settings to take effect: {keys}",
                "{name} 需要重启，更改的设置才会生效：{keys}"
            ));
        }
    }
    warnings
}

/// By role: the settings that most processes have; of several, those of the first one.
fn usual_settings<'a>(
    reports: impl Iterator<Item = &'a InstanceReport>,
) -> BTreeMap<&'a str, &'a Sections> {
    let mut counts: BTreeMap<&str, Vec<(&Sections, usize)>> = BTreeMap::new();
    for report in reports {
        let of_role = counts.entry(&report.role).or_default();
        let same = of_role.iter_mut().find(|(it, _)| **it == report.settings);
        match same {
            Some((_, count)) => *count += 1,
            None => of_role.push((&report.settings, 1)),
        }
    }
    let usual = |of_role: Vec<(&'a Sections, usize)>| {
        let mut best: Option<(&Sections, usize)> = None;
        for (sections, count) in of_role {
            if best.is_none_or(|(_, most)| count > most) {
                best = Some((sections, count));
            }
        }
        best.map(|(sections, _)| sections)
    };
    let usual = counts
        .into_iter()
        .map(|(role, of_role)| (role, usual(of_role)));
    usual
        .filter_map(|(role, sections)| Some((role, sections?)))
        .collect()
}

fn differing(own: &Sections, usual: &Sections) -> Vec<String> {
    let all = own.keys().chain(usual.keys());
    let mut names: Vec<String> = all
        .filter(|name| own.get(*name) != usual.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// One hash of all sections, short enough for a table.
fn hash_of(sections: &Sections) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    sections.hash(&mut hasher);
    format!("{:08x}", hasher.finish() >> 32)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::control::LastReload;
    use uuid::Uuid;

    use super::*;
    use crate::control::{Answered, Silent};

    const NOW: u64 = 1_763_900_000_000;

    fn report(number: u32, role: &str, clock: u64) -> InstanceReport {
        InstanceReport {
            instance: Uuid::from_u128(number.into()),
            role: role.to_owned(),
            version: "0.3.0".to_owned(),
            host: "h".to_owned(),
            pid: number,
            started_at: NOW - 60_000,
            clock,
            settings: BTreeMap::from([("retry".to_owned(), "a".to_owned())]),
            reload: None,
        }
    }

    fn answers(reports: Vec<InstanceReport>) -> Answers {
        let answers = reports.into_iter().map(|report| Answered {
            from: report.instance,
            body: ControlAnswerBody::Identity(Box::new(report)),
            at: NOW,
        });
        Answers {
            answers: answers.collect(),
            asked_at: NOW,
            silent: Vec::new(),
            is_sent: true,
        }
    }

    #[test]
    fn a_skewed_clock_is_named_with_its_process() {
        let found = view(&answers(vec![
            report(1, "admin", NOW),
            report(2, "dispatcher", NOW + 5_230),
            report(3, "ingress", NOW - 40),
        ]));
        assert_eq!(
            found.warnings,
            [
                "the clock of dispatcher h:2 is 5.3 s ahead of the others': set it by NTP; due times, \
                 signatures and ages are wrong by as much"
            ]
        );
        let offsets: Vec<_> = found
            .page
            .items
            .iter()
            .map(|it| it.clock_offset_ms)
            .collect();
        assert_eq!(offsets, [Some(0), Some(5_230), Some(-40)]);
    }

    #[test]
    fn other_settings_and_a_refused_reload_are_named() {
        let mut odd = report(3, "dispatcher", NOW);
        odd.settings.insert("limits".to_owned(), "b".to_owned());
        let mut refused = report(4, "ingress", NOW);
        refused.reload = Some(LastReload {
            at: NOW,
            refused: Some("retry.schedule: it is empty".to_owned()),
            restart: Vec::new(),
        });
        let dispatchers = [1, 2].map(|number| report(number, "dispatcher", NOW));
        let mut all = dispatchers.to_vec();
        all.extend([odd, refused]);
        let found = view(&answers(all));
        assert_eq!(
            found.warnings,
            [
                "dispatcher h:3 has other settings than most of its role, in: limits",
                "ingress h:4 refused its new settings at 2025-11-23T12:13:20.000Z and keeps the \
                 previous ones: retry.schedule: it is empty",
            ]
        );
        let hashes: Vec<&str> = found.page.items.iter().map(|it| &*it.settings).collect();
        assert!(
            hashes[0] == hashes[1] && hashes[1] != hashes[2],
            "{hashes:?}"
        );
    }

    #[test]
    fn silence_is_reported_as_silence() {
        let mut asked = answers(vec![report(1, "admin", NOW)]);
        asked.silent = vec![Silent {
            report: report(2, "dispatcher", NOW - 9_000_000),
            heard_ago: Duration::from_millis(1_400),
        }];
        let found = view(&asked);
        assert_eq!((found.seen_by.answered, found.page.items.len()), (1, 2));
        let silent = &found.page.items[1];
        assert!(!silent.answered && silent.clock_offset_ms.is_none());
        assert_eq!(silent.heard_s_ago, Some(1));
        assert!(
            found.warnings[0]
                .to_string()
                .starts_with("dispatcher h:2 does not answer (heard 1 s ago)")
        );
        assert_eq!(found.warnings.len(), 1, "its old clock says nothing");
        asked.is_sent = false;
        assert!(
            view(&asked).warnings[0]
                .to_string()
                .contains("cannot be asked")
        );
    }
}
