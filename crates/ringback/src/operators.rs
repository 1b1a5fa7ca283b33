//! What do operators do with callbacks and dead letters from the command line?
//!
//! Everything goes over the operators' API of a running process: the embedded store and its journal
//! are locked by theirs.

mod api;
mod args;
mod paced;
mod pauses;
mod story;
mod table;

use boot::settings::Settings;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::admin::moment;
use crate::admin::view::{AuditView, CallbackView, PageView};
use crate::failure::Failure;
use crate::say::say;
use api::{Api, read};
pub(crate) use args::{Callback, Dead, Place};
use args::{Cancel, List, Log, One};
use paced::Deed;
pub(crate) use pauses::{Where, Whom, pause, pauses, resume, targets};

/// The most that is asked for in one page.
const PAGE: u64 = 1_000;

/// `ringback dead ...`
///
/// # Errors
/// No answer, or a refusal, in one sentence.
pub(crate) async fn dead(asked: Dead, settings: &Settings) -> Result<(), Failure> {
    let admin = &settings.admin;
    match asked {
        Dead::List(asked) => list("/api/dead", Vec::new(), asked, settings).await,
        Dead::Show(asked) => show_dead(asked, settings).await,
        Dead::Replay(asked) => {
            let api = Api::new(asked.place.admin.clone(), admin)?;
            paced::run(Deed::Replay, asked, &api).await
        }
        Dead::Discard(asked) => {
            let api = Api::new(asked.place.admin.clone(), admin)?;
            paced::run(Deed::Discard, asked, &api).await
        }
        Dead::Sweep(place) => {
            let api = Api::new(place.admin, admin)?;
            let body = api.post("/api/dead/sweep", &json!({})).await?;
            if place.json {
                return raw(&body);
            }
            Ok(say(
                "a sweep begins within seconds; the log tells when it is done",
            )?)
        }
        Dead::Audit(asked) => audit(asked, settings).await,
    }
}

/// `ringback callback ...`
///
/// # Errors
/// As [`dead`].
pub(crate) async fn callback(asked: Callback, settings: &Settings) -> Result<(), Failure> {
    match asked {
        Callback::List(asked) => {
            let status = asked.status.map(|status| ("status", status));
            let more = status.into_iter().collect();
            list("/api/callbacks", more, asked.list, settings).await
        }
        Callback::Show(asked) => show(asked, settings).await,
        Callback::Cancel(asked) => cancel(asked, settings).await,
    }
}

async fn list(
    path: &str,
    mut parameters: Vec<(&'static str, String)>,
    asked: List,
    settings: &Settings,
) -> Result<(), Failure> {
    let api = Api::new(asked.place.admin, &settings.admin)?;
    let conditions = asked.which.parameters(moment::now());
    parameters.extend(conditions.map_err(Failure::Found)?);
    let mut left = asked.limit;
    let mut cursor = None;
    let mut first = true;
    while left > 0 {
        let mut page = parameters.clone();
        page.push(("limit", left.min(PAGE).to_string()));
        page.extend(cursor.map(|cursor: uuid::Uuid| ("cursor", cursor.to_string())));
        let page: PageView = read(&api.get(path, &page).await?)?;
        let count = u64::try_from(page.callbacks.len()).unwrap_or(left);
        if asked.place.json {
            for callback in &page.callbacks {
                say(&serde_json::to_string(callback).map_err(std::io::Error::other)?)?;
            }
        } else if first || count > 0 {
            say(&table::callbacks(&page.callbacks))?;
        }
        (first, cursor) = (false, page.cursor);
        left = left.saturating_sub(count);
        if cursor.is_none() {
            return Ok(());
        }
    }
    if !asked.place.json {
        say("... and more: --limit N shows them, the conditions choose among them")?;
    }
    Ok(())
}

async fn show(asked: One, settings: &Settings) -> Result<(), Failure> {
    let api = Api::new(asked.place.admin, &settings.admin)?;
    let body = get_one(&api, &format!("/api/callbacks/{}", asked.id)).await?;
    if asked.place.json {
        return raw(&body);
    }
    let callback: CallbackView = read(&body)?;
    Ok(say(&story::render(&callback, moment::now()))?)
}

async fn show_dead(asked: One, settings: &Settings) -> Result<(), Failure> {
    /// The target's body as its caller wrote it, to the byte.
    #[derive(Deserialize)]
    struct Shown {
        message: Option<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        request_message: Box<RawValue>,
    }

    let api = Api::new(asked.place.admin, &settings.admin)?;
    let body = get_one(&api, &format!("/api/dead/{}", asked.id)).await?;
    if asked.place.json {
        return raw(&body);
    }
    let callback: CallbackView = read(&body)?;
    say(&story::render(&callback, moment::now()))?;
    let message = match read::<Shown>(&body)?.message {
        Some(message) => message.request_message.to_string(),
        None => "past its retention: it cannot be replayed by command any more".to_owned(),
    };
    Ok(say(&format!("\nmessage: {message}"))?)
}

async fn get_one(api: &Api, path: &str) -> Result<Vec<u8>, Failure> {
    let nothing: [(&str, &str); 0] = [];
    api.get(path, &nothing).await
}

async fn cancel(asked: Cancel, settings: &Settings) -> Result<(), Failure> {
    let api = Api::new(asked.place.admin, &settings.admin)?;
    let path = format!("/api/callbacks/{}/cancel", asked.id);
    let body = json!({ "who": paced::who(), "reason": asked.reason });
    let answer = api.post(&path, &body).await?;
    if asked.place.json {
        return raw(&answer);
    }
    let answer: Value = read(&answer)?;
    let said = match answer["cancelled"].as_str() {
        Some("certainly") => "withdrawn: it will not be delivered any more",
        _ => "asked for: it may be on its way at this moment; if it comes to wait, it ends there",
    };
    Ok(say(said)?)
}

async fn audit(asked: Log, settings: &Settings) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Entries {
        entries: Vec<AuditView>,
    }

    let api = Api::new(asked.place.admin, &settings.admin)?;
    let limit = [("limit", asked.limit.to_string())];
    let body = api.get("/api/audit", &limit).await?;
    let Entries { entries } = read(&body)?;
    if !asked.place.json {
        return Ok(say(&table::audits(&entries))?);
    }
    for entry in &entries {
        say(&serde_json::to_string(entry).map_err(std::io::Error::other)?)?;
    }
    Ok(())
}

/// An answer as it came.
fn raw(body: &[u8]) -> Result<(), Failure> {
    Ok(say(&String::from_utf8_lossy(body))?)
}
