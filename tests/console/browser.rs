//! A browser: Chromium, headless, with a new profile, driven by `chromedriver`.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{Capabilities, Key};
use tokio::process::Command;

use crate::process::Process;
use crate::{directory, eventually};

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `en` or `zh`.
    pub language: &'static str,
    /// Dark instead of light.
    pub is_dark: bool,
    /// In CSS pixels.
    pub width: u32,
}

/// A browser in use.
#[derive(Clone)]
pub struct Browser {
    /// Its session.
    pub driver: WebDriver,
    /// The console's scheme, host and port.
    base: String,
}

impl Browser {
    /// Runs a test in a new browser, which is closed whether it passes or not.
    pub async fn run<F>(base: &str, with_scripts: bool, test: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let profile = directory("browser");
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("TZ", "Asia/Shanghai");
        let (_process, line) =
            Process::start(command, profile.clone(), "successfully on port").await;
        let port = line.trim_end_matches('.').rsplit(' ').next().unwrap();
        let scripts = if with_scripts { 1 } else { 2 };
        let mut capabilities = Capabilities::new();
        let mut set = |key: &str, value: Value| capabilities.set(key, value).unwrap();
        set("browserName", json!("chrome"));
        set(
            "goog:loggingPrefs",
            json!({"browser": "ALL", "performance": "ALL"}),
        );
        set(
            "goog:chromeOptions",
            json!({
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--lang=en", "--hide-scrollbars",
                    format!("--user-data-dir={}", profile.join("profile").display()),
                ],
                "prefs": {"profile.managed_default_content_settings.javascript": scripts},
            }),
        );
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .unwrap();
        let browser = Self {
            driver: driver.clone(),
            base: base.to_owned(),
        };
        let ended = tokio::spawn(test(browser)).await;
        driver.quit().await.unwrap();
        if let Err(error) = ended {
            resume_unwind(error.into_panic());
        }
    }

    /// Sizes the page, and asks for the dark or the light one.
    pub async fn look(&self, look: Look) {
        let cdp = self.driver.cdp();
        let size =
            json!({"width": look.width, "height": 844, "deviceScaleFactor": 1, "mobile": false});
        cdp.send_raw("Emulation.setDeviceMetricsOverride", size)
            .await
            .unwrap();
        let scheme = if look.is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        cdp.send_raw("Emulation.setEmulatedMedia", media)
            .await
            .unwrap();
        self.open(&format!(
            "/console/language?to={}&next=/console/",
            look.language
        ))
        .await;
    }

    /// Opens a page of the console.
    pub async fn open(&self, path: &str) {
        self.driver
            .goto(format!("{}{path}", self.base))
            .await
            .unwrap();
    }

    /// The path of the page.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.unwrap();
        url.as_str().strip_prefix(&*self.base).unwrap().to_owned()
    }

    /// The element, as soon as it is there.
    pub async fn find(&self, css: &str) -> WebElement {
        eventually(css, || async { self.driver.find(By::Css(css)).await.ok() }).await
    }

    /// Clicks the element, as soon as it is there.
    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Fills the field.
    pub async fn fill(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.unwrap();
    }

    /// The text of the element as a reader sees it.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    /// Waits until the main part of the page says this, without loading it again.
    pub async fn until_says(&self, part: &str) {
        eventually(&format!("the page says {part}"), || async {
            let main = self.driver.find(By::Css("main")).await.ok()?;
            main.text().await.ok()?.contains(part).then_some(())
        })
        .await;
    }

    /// Loads the page again until its main part says this.
    pub async fn until_shows(&self, path: &str, part: &str) {
        eventually(&format!("{path} shows {part}"), || async {
            self.open(path).await;
            let main = self.driver.find(By::Css("main")).await.ok()?;
            main.text().await.ok()?.contains(part).then_some(())
        })
        .await;
    }

    /// What a script in the page returns.
    pub async fn eval(&self, script: &str) -> Value {
        self.driver
            .execute(script, Vec::new())
            .await
            .unwrap()
            .json()
            .clone()
    }

    /// Presses a key.
    pub async fn press(&self, key: Key) {
        let keys = self.driver.action_chain().send_keys(key);
        keys.perform().await.unwrap();
    }

    /// Presses Tab until the element with the focus has this text.
    pub async fn tab_to(&self, text: &str) {
        for _ in 0..60 {
            self.press(Key::Tab).await;
            let focused = self.eval(FOCUSED).await;
            if focused["text"] == text {
                assert!(
                    focused["is_visible"].as_bool().unwrap(),
                    "the focus is seen: {focused}"
                );
                return;
            }
        }
        panic!("{text} is not reached with Tab");
    }

    /// Checks what the browser has complained of since the last time: nothing may be.
    pub async fn check_log(&self, of: &str) {
        let entries = self.driver.browser_log().await.unwrap();
        let bad: Vec<_> = entries
            .iter()
            .filter(|it| it.level != "INFO" && it.level != "DEBUG")
            .collect();
        assert!(bad.is_empty(), "{of}: {bad:#?}");
    }

    /// Checks that all requests since the last time went to the console.
    pub async fn check_requests(&self, of: &str) {
        let entries = self.driver.get_log("performance").await.unwrap();
        let urls: BTreeSet<String> = entries
            .iter()
            .filter_map(|entry| {
                let event: Value = serde_json::from_str(&entry.message).ok()?;
                let event = &event["message"];
                let is_request = event["method"] == "Network.requestWillBeSent";
                is_request.then(|| {
                    event["params"]["request"]["url"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
            })
            .collect();
        assert!(!urls.is_empty(), "{of}");
        // The browser's own first page asks for these, and neither leaves this machine.
        let is_own = |url: &String| url.starts_with("chrome:") || url.starts_with("data:");
        for url in urls.into_iter().filter(|url| !is_own(url)) {
            assert!(url.starts_with(&self.base), "{of} asks for {url}");
        }
    }

    /// The serious and critical faults that `axe-core` finds.
    pub async fn accessibility_faults(&self) -> Vec<String> {
        let axe = std::fs::read_to_string(std::env::var("AXE").unwrap()).unwrap();
        let script = format!("{axe}; {RUN_AXE}");
        let found = self.driver.execute_async(script, Vec::new()).await.unwrap();
        let found = found.json();
        assert!(
            found["passed"].as_u64() > Some(10),
            "axe has checked the page: {found}"
        );
        serde_json::from_value(found["faults"].clone()).unwrap()
    }

    /// Writes what is seen to a file, and gives its size in bytes.
    pub async fn picture(&self, file: &Path) -> u64 {
        self.driver.screenshot(file).await.unwrap();
        std::fs::metadata(file).unwrap().len()
    }
}

/// Runs `axe-core`, which the page has got by then.
const RUN_AXE: &str = "
    const done = arguments[arguments.length - 1];
    axe.run(document, {resultTypes: ['violations']}).then((result) => done({
        passed: result.passes.length,
        faults: result.violations.filter((it) => ['serious', 'critical'].includes(it.impact)).map((it) =>
            it.id + ': ' + it.help + ': ' + it.nodes.slice(0, 3).map((node) => node.html).join(' | ')),
    }), (error) => done({passed: 0, error: String(error)}));";

/// The text of the element with the focus, and whether its outline is drawn.
const FOCUSED: &str = "
    const it = document.activeElement;
    const style = getComputedStyle(it);
    return {text: (it.textContent || it.name || '').trim(), is_visible: style.outlineStyle !== 'none'
        && parseFloat(style.outlineWidth) > 0};";
