//! The pages of targets, groups, bulk acts and searches, rendered from strangers' texts.

use askama::Template;
use contract::CallbackStatus;
use delivery::limits::LimitKey;
use journal::{CallbackGroup, CallbackGroups, GroupBy, GroupKey, GroupLook, WaitKind};
use runtime::clock::now_ms;
use runtime::{SettingOrigin, SettingsShown};
use uuid::Uuid;

use super::tests::{HOSTILE, callback_view, callbacks_page, instance_view, seen, target_view};
use super::visit::Visit;
use super::{
    apps, bulk, dead_groups, find, operations, schedule, settings, target, unreadable, waiting,
};
use crate::api::bulk_view::{BulkCountView, Untouched};
use crate::api::error::ApiError;
use crate::api::estimate::{EstimateView, TargetEstimateView};
use crate::api::operations::OperationAct;
use crate::api::operations::registry::{OperationState, OperationView};
use crate::api::process_view::{AppView, InstanceView, ReloadView, SeenPage};
use crate::api::stats_view::{FiguresView, StatsPointView, StatsView};
use crate::api::targets::OneTarget;
use crate::api::view::{ItemsPage, PauseView, UnreadablePage, UnreadableView};

/// As many as the journal returns at most.
fn groups(key: &GroupKey) -> CallbackGroups {
    let group = CallbackGroup {
        key: key.clone(),
        count: 7,
        oldest_accepted_at: 1_763_900_000_000,
        first_updated_at: 1_763_900_000_000,
        last_updated_at: 1_763_900_000_000,
    };
    CallbackGroups {
        groups: vec![group; 100],
        examined: 700,
        looked_to: Some(1_763_900_000_000),
    }
}

fn day() -> StatsView {
    let figures = FiguresView {
        accepted: 5,
        delivered: 3,
        failed: 2,
        deferred: 1,
        dead: 1,
        attempts: 5,
        duration_ms: 9,
        p50_ms: Some(1.5),
        p99_ms: None,
        latency: Vec::new(),
    };
    let points = (0..25).map(|hour| StatsPointView {
        at: 1_763_900_000_000 + hour * 3_600_000,
        figures: figures.clone(),
    });
    StatsView {
        callee: None,
        target: None,
        app: None,
        from: 1_763_900_000_000,
        to: 1_763_990_000_000,
        step_s: 3_600,
        latency_bounds_ms: Vec::new(),
        total: figures.clone(),
        points: points.collect(),
    }
}

fn target_parts() -> target::TargetParts {
    let seen = target_view("open", 3);
    let last = GroupKey::LastAttempt {
        outcome: Some("tls".to_owned()),
        http_status: Some(503),
        cause: Some(HOSTILE.to_owned()),
        causes: 3,
    };
    let deferred = GroupKey::Wait {
        kind: WaitKind::Deferred,
        reason: Some(HOSTILE.to_owned()),
    };
    target::TargetParts {
        look: GroupLook::First,
        key: LimitKey::Callee(HOSTILE.into()),
        one: OneTarget {
            unfinished: seen.unfinished.clone(),
            seen: Some(seen),
            name: Some(HOSTILE.to_owned()),
            warnings: vec![HOSTILE.into()],
        },
        pause: Some(PauseView {
            kind: "callee".to_owned(),
            callee_no: Some(HOSTILE.to_owned()),
            callee_name: None,
            target: None,
            app_id: None,
            message_type: None,
            actor: HOSTILE.to_owned(),
            paused_at: 1_763_900_000_000,
            reason: HOSTILE.to_owned(),
        }),
        waits: Some(groups(&deferred)),
        errors: Some(groups(&last)),
        day: Some(day()),
    }
}

fn operation(state: OperationState) -> OperationView {
    OperationView {
        id: Uuid::from_u128(7),
        act: OperationAct::Cancel,
        subject: HOSTILE.to_owned(),
        actor: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
        rate: 10,
        total: 25,
        changed: 3,
        pending: 1,
        requested: 1,
        started_at: 1_763_900_000_000,
        ended_at: None,
        state,
    }
}

fn counted() -> BulkCountView {
    BulkCountView {
        matched: 7,
        now: now_ms(),
        untouched: vec![Untouched {
            count: 2,
            reason: "due".to_owned(),
            detail: HOSTILE.to_owned(),
        }],
        not_changed: Vec::new(),
        estimate: Some(EstimateView {
            done_in_s: None,
            extrapolated: true,
            targets: vec![TargetEstimateView {
                callee_no: None,
                name: None,
                target: Some(HOSTILE.to_owned()),
                count: 7,
                per_second: None,
                unknown: Some(HOSTILE.into()),
            }],
        }),
        queued: None,
        continues: None,
    }
}

fn apps_seen() -> SeenPage<AppView> {
    let app = AppView {
        app_id: HOSTILE.to_owned(),
        accepted: 1,
        refused: 2,
        limited: 3,
        in_flight: 4,
        unfinished: Some(5),
        waiting: None,
    };
    seen(vec![app; 50])
}

fn instances() -> SeenPage<InstanceView> {
    seen(vec![InstanceView {
        reload: Some(ReloadView {
            at: 1_763_900_000_000,
            refused: Some(HOSTILE.to_owned()),
            restart: vec![HOSTILE.to_owned()],
        }),
        settings_differ: vec![HOSTILE.to_owned()],
        ..instance_view()
    }])
}

fn shown() -> SettingsShown {
    SettingsShown {
        toml: format!("[{HOSTILE}]\n").repeat(10_000),
        origins: vec![
            SettingOrigin {
                key: HOSTILE.to_owned(),
                place: HOSTILE.to_owned(),
            };
            600
        ],
    }
}

/// The pages, each with its name.
pub(super) fn pages(visit: &Visit) -> Vec<(&'static str, String)> {
    let form = super::links::with("", &[("app_id", HOSTILE), ("since", HOSTILE)]);
    let hostile_target = GroupKey::Target(HOSTILE.to_owned());
    let ended = GroupKey::End {
        status: CallbackStatus::Dead,
        reason: Some(HOSTILE.to_owned()),
    };
    let waits = (
        groups(&GroupKey::Wait {
            kind: WaitKind::Retrying,
            reason: Some(HOSTILE.to_owned()),
        }),
        groups(&hostile_target),
    );
    let failed = OperationState::Failed(ApiError::parameter(HOSTILE.into()));
    let unread = UnreadablePage {
        page: ItemsPage {
            items: vec![UnreadableView {
                id: HOSTILE.to_owned(),
                size: 7,
                from: Some(HOSTILE.to_owned()),
                quarantined_at: Some(1_763_900_000_000),
                reason: Some(HOSTILE.to_owned()),
                readable_now: false,
                beginning: None,
            }],
            next: None,
        },
        waiting: 1,
    };
    let plan = (OperationAct::Cancel, HOSTILE.to_owned());
    let sample = callbacks_page().page.items.into_iter().take(10).collect();
    let process = || HOSTILE.to_owned();
    let rendered = [
        ("target", target::render(visit, target_parts()).render()),
        (
            "waiting",
            waiting::render(visit, (&form, GroupLook::First), waits).render(),
        ),
        (
            "dead groups",
            dead_groups::render(
                visit,
                (&form, GroupLook::First),
                ("reason", GroupBy::End),
                groups(&ended),
            )
            .render(),
        ),
        (
            "bulk",
            bulk::render(visit, plan, &form, 100, (counted(), sample)).render(),
        ),
        (
            "operations",
            operations::render_list(visit, vec![operation(failed.clone()); 100], process())
                .render(),
        ),
        (
            "operation",
            operations::render(visit, operation(failed), process()).render(),
        ),
        (
            "apps",
            apps::render(visit, Some((HOSTILE.to_owned(), day())), apps_seen()).render(),
        ),
        (
            "settings",
            settings::render(visit, process(), shown(), instances()).render(),
        ),
        (
            "schedule",
            schedule::render(visit, Some(HOSTILE.to_owned()), None).render(),
        ),
        (
            "unreadable",
            unreadable::render(visit, unread, Some(1)).render(),
        ),
        (
            "search",
            find::render(visit, HOSTILE.to_owned(), HOSTILE.to_owned()).render(),
        ),
        (
            "matches",
            find::render_matches(visit, HOSTILE, vec![callback_view(); 51]).render(),
        ),
    ];
    rendered
        .into_iter()
        .map(|(name, page)| (name, page.unwrap()))
        .collect()
}

#[test]
fn a_running_operation_refreshes_and_one_that_has_ended_does_not() {
    let visit = super::tests::visit(super::language::PageLanguage::English);
    for (state, refreshes) in [
        (OperationState::Running, true),
        (OperationState::Done, false),
        (OperationState::Stopped, false),
    ] {
        let page = operations::render(&visit, operation(state), "p".to_owned());
        let html = page.render().unwrap();
        assert_eq!(html.contains("http-equiv=\"refresh\""), refreshes, "{html}");
        assert!(html.contains("5 / 25"), "{html}");
    }
}

#[test]
fn a_chart_says_in_words_and_in_a_table_what_it_shows() {
    for language in super::tests::LANGUAGES {
        let visit = super::tests::visit(language);
        let html = target::render(&visit, target_parts()).render().unwrap();
        for part in [
            "<svg class=\"chart\"",
            "role=\"img\" aria-labelledby=\"chart-title chart-text\"",
            "<title id=\"chart-title\">",
            "<caption>",
        ] {
            assert!(html.contains(part), "{part}");
        }
        // 25 hours: accepted, delivered, failed, dead.
        assert_eq!(html.matches("<rect ").count(), 100, "{html}");
    }
}
