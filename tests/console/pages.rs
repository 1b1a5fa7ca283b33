//! The console in a browser: what an operator sees and does on its pages.

use std::path::PathBuf;
use std::time::Duration;

use console_tests::{Browser, Gateway, Look, TOKEN, Target, eventually};
use serde_json::json;
use thirtyfour::Key;

/// All pages that need no id.
const PAGES: [&str; 21] = [
    "/console/",
    "/console/waiting",
    "/console/apps",
    "/console/apps?app_id=%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E",
    "/console/settings",
    "/console/schedule?waits=1s%2C2s",
    "/console/search?q=%3Cscript%3E",
    "/console/search?q=status:dead",
    "/console/unreadable",
    "/console/operations",
    "/console/dead-letters/groups?by=hour",
    "/console/dead-letters/groups?by=target",
    "/console/bulk/replay?status=dead",
    "/console/targets/one?target=http%3A%2F%2F127.0.0.1%3A1",
    "/console/live",
    "/console/targets",
    "/console/callbacks",
    "/console/dead-letters",
    "/console/pauses",
    "/console/audit",
    "/console/callbacks/01a20a25-46b9-7361-a013-9bc3295ebef1",
];

/// Those that show an error.
const REFUSED: [&str; 2] = ["01a20a25", "q=%3Cscript%3E"];

/// What a caller may send as a name: markup, a right-to-left override, Chinese, and 128 bytes.
const HOSTILE: [&str; 4] = [
    "<script>window.hacked=1</script>",
    "a\u{202e}txt.exe\"'><img src=x onerror=window.hacked=1>",
    "乐居新房的一个非常长的应用名称没有任何空格乐居新房的一个非常长的应用名",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

const DESKTOP: Look = Look {
    language: "en",
    is_dark: false,
    width: 1280,
};

/// The languages, dark and light, wide and as narrow as a phone: each with each other at least once.
const LOOKS: [Look; 4] = [
    DESKTOP,
    Look {
        language: "zh",
        is_dark: true,
        width: 1280,
    },
    Look {
        language: "en",
        is_dark: true,
        width: 390,
    },
    Look {
        language: "zh",
        is_dark: false,
        width: 390,
    },
];

/// Callbacks of every hostile name, dead and delivered. Gives the id of a dead one.
async fn seed(gateway: &Gateway, target: &Target) -> String {
    let mut dead = String::new();
    for name in HOSTILE {
        let fails = format!("{}/fail?a=<script>", target.base);
        dead = gateway.send(name, name, &fails).await;
        let delivered = gateway
            .send(name, name, &format!("{}/ok", target.base))
            .await;
        gateway.until(&delivered, "delivered").await;
    }
    gateway.until(&dead, "dead").await;
    dead
}

async fn sign_in(browser: &Browser) {
    browser.open("/console/").await;
    browser.fill("#token", TOKEN).await;
    browser.click("main button").await;
    browser.find("nav").await;
}

#[tokio::test]
async fn an_operator_finds_a_failing_target_and_its_callback_and_acts_on_pages_alone() {
    let (gateway, target) = (Gateway::start(true).await, Target::start().await);
    let id = gateway
        .send("shop", "order", &format!("{}/fail", target.base))
        .await;
    gateway.until(&id, "dead").await;
    Browser::run(&gateway.console.clone(), true, |browser| async move {
        browser.look(DESKTOP).await;
        browser.open("/console/").await;
        assert!(browser.path().await.starts_with("/console/sign-in?next="));
        browser.fill("#token", "wrong").await;
        browser.click("main button").await;
        assert!(
            browser
                .text("main [role=alert]")
                .await
                .contains("not known")
        );
        // The 401 of a wrong token is in the browser's log.
        browser.driver.browser_log().await.unwrap();
        browser.fill("#token", TOKEN).await;
        browser.click("main button").await;
        browser.until_says("Overview").await;
        browser.until_shows("/console/", "dead letters").await;

        browser.click("nav a[href='/console/targets']").await;
        let row = browser.text("tbody tr").await;
        assert!(row.contains(&target.base) && row.contains("5xx"), "{row}");
        browser.click("tbody tr th a").await;
        browser.until_says("Circuit breaker").await;
        browser
            .click("main .paging a[href^='/console/callbacks?']")
            .await;
        browser
            .click(&format!("a[href='/console/callbacks/{id}']"))
            .await;
        let page = browser.text("main").await;
        assert!(page.contains("503") && page.contains("exhausted"), "{page}");

        target.repair();
        browser.click("a[href$='/replay']").await;
        browser.until_says("This can be done now.").await;
        browser.fill("input[name=actor]", "ann").await;
        browser
            .fill("input[name=reason]", "the target is repaired")
            .await;
        browser.click("main form button").await;
        browser.until_says("Done. It is in the audit log.").await;
        gateway.until(&id, "delivered").await;
        browser.click("main a[href*='/console/callbacks/']").await;
        browser.until_says("delivered").await;
        browser.click("nav a[href='/console/audit']").await;
        browser.until_says("the target is repaired").await;
        browser.check_log("the way of an operator").await;
        browser.check_requests("the way of an operator").await;

        browser.click(".who form button").await;
        browser.find("#token").await;
        browser.open("/console/audit").await;
        assert!(
            browser.path().await.starts_with("/console/sign-in"),
            "the session has ended"
        );
    })
    .await;
}

#[tokio::test]
async fn every_page_is_accessible_fits_and_keeps_strangers_texts_inert_in_each_look() {
    let (gateway, target) = (Gateway::start(true).await, Target::start().await);
    let dead = seed(&gateway, &target).await;
    Browser::run(&gateway.console.clone(), true, |browser| async move {
        browser.look(DESKTOP).await;
        browser.check_page("/console/sign-in").await;
        sign_in(&browser).await;
        let one = format!("/console/callbacks/{dead}");
        let replay = format!("{one}/replay");
        for look in LOOKS {
            browser.look(look).await;
            for path in PAGES.into_iter().chain([&*one, &*replay]) {
                browser.open(path).await;
                browser.check_page(&format!("{path} {look:?}")).await;
                let lang = browser.eval("return document.documentElement.lang").await;
                let expected = if look.language == "zh" { "zh-CN" } else { "en" };
                assert_eq!(lang, expected, "{path}");
            }
        }
        browser.look(DESKTOP).await;
        // What strangers sent is there, as text.
        browser.until_shows("/console/callbacks", HOSTILE[0]).await;
        let list = browser.text("main").await;
        assert!(
            list.contains(HOSTILE[2]) && list.contains(HOSTILE[3]),
            "{list}"
        );
        assert!(list.contains(r"a\u{202e}txt.exe"), "{list}");
    })
    .await;
}

#[tokio::test]
async fn axe_notices_faults() {
    let gateway = Gateway::start(false).await;
    Browser::run(&gateway.console.clone(), true, |browser| async move {
        browser.look(DESKTOP).await;
        browser.open("/console/callbacks").await;
        let unnamed =
            "document.querySelector('main').append(document.createElement('select')); return 0";
        browser.eval(unnamed).await;
        let faults = browser.accessibility_faults().await;
        assert!(faults[0].starts_with("select-name"), "{faults:?}");
    })
    .await;
}

/// The pictures of the guide and the README, in `$SCREENSHOTS` or nowhere.
#[tokio::test]
async fn pictures_of_the_pages_are_small() {
    let target = Target::start().await;
    let settings = format!(
        "[callees.EO001]\nurl = \"{0}/fail\"\n[callees.EO002]\nurl = \"{0}/ok\"\n",
        target.base
    );
    let gateway = Gateway::start_with(&settings).await;
    for _ in 0..12 {
        gateway.send_to("shop", "order.paid", "EO002").await;
    }
    let mut dead = String::new();
    for app in ["crm", "billing", "shop"] {
        dead = gateway.send_to(app, "order.changed", "EO001").await;
    }
    gateway.until(&dead, "dead").await;
    let kept = std::env::var("SCREENSHOTS").ok().map(PathBuf::from);
    let to = kept
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("pictures-{dead}")));
    std::fs::create_dir_all(&to).unwrap();
    let directory = to.clone();
    Browser::run(&gateway.console.clone(), true, |browser| async move {
        let one = format!("/console/callbacks/{dead}");
        for (name, language, path) in [
            ("overview", "en", "/console/"),
            ("overview", "zh", "/console/"),
            ("live", "en", "/console/live"),
            ("callback", "en", &one),
        ] {
            let look = Look {
                language,
                ..DESKTOP
            };
            browser.look(look).await;
            browser.open(path).await;
            if name == "live" {
                let id = gateway.send_to("shop", "order.paid", "EO002").await;
                gateway.send_to("billing", "order.changed", "EO001").await;
                browser.find(&format!("#attempts a[href$='{id}']")).await;
            }
            let file = directory.join(format!("console-{name}-{language}.png"));
            let bytes = browser.picture(&file).await;
            let is_small = (10_000..150_000).contains(&bytes);
            assert!(is_small, "{}: {bytes} bytes", file.display());
        }
    })
    .await;
    if kept.is_none() {
        std::fs::remove_dir_all(to).unwrap();
    }
}

/// Checks of any page.
trait CheckPage {
    async fn check_page(&self, of: &str);
}

impl CheckPage for Browser {
    async fn check_page(&self, of: &str) {
        let seen = self
            .eval(
                "const bytes = [...performance.getEntriesByType('navigation'),
                   ...performance.getEntriesByType('resource')].reduce((all, it) => all + it.encodedBodySize, 0);
                 return {hacked: window.hacked ?? null, scripts: document.querySelectorAll('main script, img').length,
                   page: document.documentElement.scrollWidth, window: window.innerWidth, bytes,
                   background: getComputedStyle(document.body).backgroundColor,
                   dark: matchMedia('(prefers-color-scheme: dark)').matches}",
            )
            .await;
        assert_eq!(
            (&seen["hacked"], &seen["scripts"]),
            (&json!(null), &json!(0)),
            "{of}"
        );
        let fits = seen["page"].as_u64() <= seen["window"].as_u64();
        assert!(fits, "{of}: it has to be scrolled sideways: {seen}");
        let bytes = seen["bytes"].as_u64().unwrap();
        assert!(
            (20_000..150_000).contains(&bytes),
            "{of}: {bytes} bytes with all assets"
        );
        let paper = if seen["dark"] == true {
            "rgb(18, 22, 28)"
        } else {
            "rgb(255, 255, 255)"
        };
        assert_eq!(seen["background"], paper, "{of}");
        let faults = self.accessibility_faults().await;
        assert!(faults.is_empty(), "{of}: {faults:#?}");
        // A page that says 400 or 404 is a failed request in the browser's log.
        match REFUSED.iter().any(|path| of.contains(path)) {
            true => drop(self.driver.browser_log().await),
            false => self.check_log(of).await,
        }
        self.check_requests(of).await;
    }
}

#[tokio::test]
async fn attempts_appear_as_they_end_and_a_pause_holds_them() {
    let (gateway, target) = (Gateway::start(true).await, Target::start().await);
    let send = async |app: &str| {
        gateway
            .send(app, "order", &format!("{}/ok", target.base))
            .await
    };
    let console = gateway.console.clone();
    Browser::run(&console, true, {
        // The gateway lives until the browser is closed.
        let sending: Vec<String> = HOSTILE.iter().map(|it| (*it).to_owned()).collect();
        let (first, second) = (send("before").await, target.base.clone());
        gateway.until(&first, "delivered").await;
        move |browser| async move {
            browser.look(DESKTOP).await;
            sign_in(&browser).await;
            browser.open("/console/live").await;
            browser.eval("window.marked = 1; return 0").await;
            for app in &sending {
                let id = gateway.send(app, "order", &format!("{second}/ok")).await;
                browser.find(&format!("#attempts a[href$='{id}']")).await;
            }
            let rows = browser.text("#attempts").await;
            assert!(
                rows.contains(HOSTILE[0]) && rows.contains(r"\u{202e}"),
                "{rows}"
            );
            let same = browser
                .eval("return [window.marked, window.hacked ?? null]")
                .await;
            assert_eq!(same, json!([1, null]), "the page was not loaded again");

            browser.click("#pause").await;
            browser.until_says("Paused.").await;
            let paused = gateway
                .send("quiet", "order", &format!("{second}/ok"))
                .await;
            gateway.until(&paused, "delivered").await;
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let rows = browser.text("#attempts").await;
            assert!(
                !rows.contains("quiet") && rows.contains(HOSTILE[0]),
                "{rows}"
            );
            browser.click("#pause").await;
            browser.until_says("Attempts appear as they end").await;
            let next = gateway
                .send("next", "order", &format!("{second}/fail"))
                .await;
            browser.find(&format!("#attempts a[href$='{next}']")).await;

            // Of one app, and what did not deliver.
            browser.fill("input[name=app_id]", "next").await;
            browser.click("form.filter button").await;
            browser.until_says("503").await;
            assert!(!browser.text("#attempts").await.contains(HOSTILE[0]));
            browser.check_log("live").await;
            browser.check_requests("live").await;

            // The session ends in another tab.
            let live = browser.driver.window().await.unwrap();
            let other = browser.driver.new_tab().await.unwrap();
            browser.driver.switch_to_window(other).await.unwrap();
            browser.open("/console/").await;
            browser.driver.delete_all_cookies().await.unwrap();
            browser.driver.switch_to_window(live).await.unwrap();
            // The stream began with a cookie that is still valid. The next part of the page is not given.
            browser.click("#pause").await;
            browser.find("#token").await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_overview_refreshes_in_place_and_keeps_what_the_reader_has_opened() {
    let gateway = Gateway::start(false).await;
    let console = gateway.console.clone();
    Browser::run(&console, true, |browser| async move {
        browser.look(DESKTOP).await;
        browser.open("/console/").await;
        browser.eval("window.marked = 1; return 0").await;
        browser.click("main summary").await;
        let focused = "return document.activeElement.tagName";
        assert_eq!(browser.eval(focused).await, "SUMMARY");
        let checked = "return document.querySelector('main > .hint time').dateTime";
        let first = browser.eval(checked).await;
        eventually("the page has refreshed itself", || async {
            (browser.eval(checked).await != first).then_some(())
        })
        .await;
        let state = "return [window.marked, document.querySelector('details').open, document.activeElement.tagName]";
        assert_eq!(browser.eval(state).await, json!([1, true, "SUMMARY"]));
        browser.check_log("overview").await;
        // The gateway is gone: the page says so, and since when.
        drop(gateway);
        let stale = browser.find("#stale").await;
        eventually("the page says that it is stale", || async {
            stale.is_displayed().await.ok()?.then_some(())
        })
        .await;
        assert!(stale.text().await.unwrap().starts_with("This page could not be refreshed since 20"));
    })
    .await;
}

#[tokio::test]
async fn times_are_in_the_readers_zone_with_utc_at_hand() {
    let gateway = Gateway::start(false).await;
    Browser::run(&gateway.console.clone(), true, |browser| async move {
        browser.look(DESKTOP).await;
        browser.open("/console/").await;
        let time = "const it = document.querySelector('main > .hint time'); return [it.textContent, it.title, it.dateTime]";
        let local = browser.eval(time).await;
        assert!(local[0].as_str().unwrap().ends_with(" +08:00"), "{local}");
        assert_eq!(local[1], local[2], "UTC is in the title: {local}");
        assert!(local[1].as_str().unwrap().ends_with('Z'), "{local}");
        browser.click("#zone").await;
        let utc = browser.eval(time).await;
        assert!(utc[0].as_str().unwrap().ends_with(" UTC"), "{utc}");
        browser.open("/console/").await;
        let kept = browser.eval(time).await;
        assert!(kept[0].as_str().unwrap().ends_with(" UTC"), "the choice is kept: {kept}");
        browser.check_log("times").await;
    })
    .await;
}

#[tokio::test]
async fn every_page_can_be_reached_and_used_with_the_keyboard_alone() {
    let (gateway, target) = (Gateway::start(true).await, Target::start().await);
    let id = gateway
        .send("shop", "order", &format!("{}/fail", target.base))
        .await;
    gateway.until(&id, "dead").await;
    Browser::run(&gateway.console.clone(), true, |browser| async move {
        browser.look(DESKTOP).await;
        browser.open("/console/").await;
        // The field has the focus.
        let typing = browser.driver.action_chain().send_keys(TOKEN);
        typing.perform().await.unwrap();
        browser.press(Key::Enter).await;
        browser.find("nav").await;
        browser.open("/console/").await;
        browser.tab_to("Skip to the content").await;
        browser.press(Key::Enter).await;
        assert!(browser.path().await.ends_with("#content"));
        browser.open("/console/").await;
        browser.tab_to("Dead letters").await;
        browser.press(Key::Enter).await;
        browser.until_says(&id).await;
        browser.tab_to(&id).await;
        browser.press(Key::Enter).await;
        browser.until_says("exhausted").await;
        browser.tab_to("Replay").await;
        browser.press(Key::Enter).await;
        browser.until_says("This can be done now.").await;
        browser.tab_to("actor").await;
        browser
            .driver
            .action_chain()
            .send_keys("ann")
            .perform()
            .await
            .unwrap();
        browser.tab_to("reason").await;
        browser
            .driver
            .action_chain()
            .send_keys("by keyboard")
            .perform()
            .await
            .unwrap();
        browser.press(Key::Enter).await;
        browser.until_says("Done.").await;
    })
    .await;
}

#[tokio::test]
async fn without_javascript_every_page_works_and_refreshes() {
    let (gateway, target) = (Gateway::start(true).await, Target::start().await);
    let dead = seed(&gateway, &target).await;
    let console = gateway.console.clone();
    Browser::run(&console, false, |browser| async move {
        sign_in(&browser).await;
        for path in PAGES {
            browser.open(path).await;
            browser.find("main h1").await;
            let zone = browser.find("#zone").await;
            assert!(
                !zone.is_displayed().await.unwrap(),
                "{path}: it would do nothing"
            );
        }
        // One of the pages is a 404, which the browser logs.
        browser.driver.browser_log().await.unwrap();
        browser.open("/console/").await;
        let checked = browser.text("main > .hint time").await;
        assert!(checked.ends_with(" UTC"), "{checked}");
        eventually("the browser has refreshed the page", || async {
            let again = browser
                .driver
                .find(thirtyfour::By::Css("main > .hint time"))
                .await
                .ok()?;
            (again.text().await.ok()? != checked).then_some(())
        })
        .await;
        // The newest attempts, with a refresh.
        browser.open("/console/live").await;
        let id = gateway
            .send("later", "order", &format!("{}/ok", target.base))
            .await;
        browser.find(&format!("#attempts a[href$='{id}']")).await;
        // An act.
        browser.open(&format!("/console/callbacks/{dead}")).await;
        browser.click("a[href$='/replay']").await;
        browser.fill("input[name=actor]", "ann").await;
        browser.fill("input[name=reason]", "without scripts").await;
        browser.click("main form button").await;
        browser.until_says("Done.").await;
        browser.check_log("without JavaScript").await;
        browser.check_requests("without JavaScript").await;
    })
    .await;
}
