//! What can operators ask over HTTP, and what is answered?

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Route};
use journal::{Cursor, Page};
use serde::Serialize;
use serde_json::json;

use super::asked::{self, Asked};
use super::door::Named;
use super::refusal::Refusal;
use super::view::{AuditView, CallbackView, PageView};
use super::wish::{self, Signed, Wish};
use super::{Desk, mend, moment, pauses};

/// The largest body of a request: a thousand ids, with room.
const MOST_BYTES: usize = 128 * 1024;

pub(super) type Answer = Result<HttpResponse, Refusal>;

/// Everything that can be asked: a new route stands here, and the tests of who may ask find it. Of
/// two paths that fit, the first one counts.
pub(super) fn table() -> Vec<(Method, &'static str, Route)> {
    vec![
        (Method::GET, "/api/callbacks", web::to(list)),
        (Method::GET, "/api/callbacks/{id}", web::to(show)),
        (Method::POST, "/api/callbacks/{id}/cancel", web::to(cancel)),
        (Method::GET, "/api/dead", web::to(list_dead)),
        (Method::POST, "/api/dead/replay", web::to(replay)),
        (Method::POST, "/api/dead/discard", web::to(discard)),
        (Method::POST, "/api/dead/sweep", web::to(sweep)),
        (Method::GET, "/api/dead/{id}", web::to(show_dead)),
        (Method::GET, "/api/pauses", web::to(pauses::list)),
        (Method::POST, "/api/pauses", web::to(pauses::pause)),
        (Method::DELETE, "/api/pauses", web::to(pauses::resume)),
        (Method::GET, "/api/targets", web::to(pauses::targets)),
        (Method::GET, "/api/audit", web::to(audits)),
    ]
}

/// All routes.
pub(super) fn routes(service: &mut ServiceConfig) {
    service.app_data(web::PayloadConfig::new(MOST_BYTES));
    for (method, path, route) in table() {
        service.route(path, route.method(method));
    }
    service.default_service(web::to(nothing_here));
}

async fn nothing_here(http: HttpRequest) -> Answer {
    let sentence = format!("there is no {} {}", http.method(), http.path());
    Err(Refusal::Unknown(sentence))
}

async fn list(desk: Data<Desk>, http: HttpRequest) -> Answer {
    let asked = Asked::read(http.query_string())?;
    let journal = desk.journal()?;
    let page = desk.run(async move {
        let now = moment::now();
        let page = journal.list(&asked.filter, asked.after, asked.limit, now);
        Ok(page.await?)
    });
    answer(&paged(page.await?))
}

async fn list_dead(desk: Data<Desk>, http: HttpRequest) -> Answer {
    let Asked {
        filter,
        after,
        limit,
    } = Asked::read(http.query_string())?;
    let filters = mend::by_status(&wish::dead_filter(filter)?);
    let journal = desk.journal()?;
    let page = desk.run(async move {
        let mut pages = Vec::new();
        for filter in filters {
            pages.push(journal.list(&filter, after, limit, moment::now()).await?);
        }
        Ok(merged(pages, limit))
    });
    answer(&paged(page.await?))
}

/// The newest of several pages that begin at one place.
fn merged(pages: Vec<Page>, limit: u32) -> Page {
    let mut more = pages.iter().any(|page| page.next.is_some());
    let all = pages.into_iter().flat_map(|page| page.callbacks);
    let mut callbacks: Vec<_> = all.collect();
    callbacks.sort_by_key(|it| std::cmp::Reverse(it.origin.request_id));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    more |= callbacks.len() > limit;
    callbacks.truncate(limit);
    let last = callbacks.last().map(|it| Cursor(it.origin.request_id));
    let next = last.filter(|_| more);
    Page { callbacks, next }
}

fn paged(page: Page) -> PageView {
    let now = moment::now();
    let callbacks = page.callbacks.into_iter();
    PageView {
        callbacks: callbacks.map(|it| CallbackView::of(it, now)).collect(),
        cursor: page.next.map(|Cursor(id)| id),
    }
}

async fn show(desk: Data<Desk>, id: Path<String>) -> Answer {
    let id = asked::id(&id)?;
    let journal = desk.journal()?;
    let found = desk.run(async move { Ok(journal.find(id).await?) }).await?;
    let callback = found.ok_or_else(|| mend::unknown(id))?;
    answer(&CallbackView::of(callback, moment::now()))
}

/// A dead letter with the message as it was given up: the body may be read by operators alone.
async fn show_dead(desk: Data<Desk>, id: Path<String>) -> Answer {
    #[derive(Serialize)]
    struct DeadView {
        #[serde(flatten)]
        callback: CallbackView,
        /// Null: past its retention.
        message: Option<Box<serde_json::value::RawValue>>,
    }

    let id = asked::id(&id)?;
    let journal = desk.journal()?;
    let found =
        desk.run(async move { Ok((journal.find(id).await?, journal.dead_letter(id).await?)) });
    let (callback, letter) = found.await?;
    let callback = callback.ok_or_else(|| mend::unknown(id))?;
    let callback = CallbackView::of(callback, moment::now());
    if !matches!(callback.status.as_str(), "dead" | "expired") {
        let status = callback.status;
        return Err(Refusal::Conflict(format!(
            "{id} is no dead letter: it is {status}"
        )));
    }
    let message = letter.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    answer(&DeadView { callback, message })
}

async fn replay(desk: Data<Desk>, http: HttpRequest, body: Bytes) -> Answer {
    let Wish { which, signed } = Wish::read(&body, named(&http).as_deref())?;
    let (broker, journal) = (desk.broker.clone(), desk.journal()?);
    let Some(signed) = signed else {
        let matched = desk.run(async move { Ok(mend::count(&journal, &which).await?) });
        return answer(&matched.await?);
    };
    let bell = desk.bell.clone();
    let replayed = desk.run(async move {
        let replayed = mend::replay(&broker, &journal, &which, signed).await?;
        bell.notify_one();
        Ok(replayed)
    });
    answer(&replayed.await?)
}

async fn discard(desk: Data<Desk>, http: HttpRequest, body: Bytes) -> Answer {
    let Wish { which, signed } = Wish::read(&body, named(&http).as_deref())?;
    let journal = desk.journal()?;
    let Some(signed) = signed else {
        let matched = desk.run(async move { Ok(mend::count(&journal, &which).await?) });
        return answer(&matched.await?);
    };
    let bell = desk.bell.clone();
    let discarded = desk.run(async move {
        let discarded = mend::discard(&journal, &which, signed).await?;
        bell.notify_one();
        Ok(discarded)
    });
    answer(&discarded.await?)
}

async fn sweep(desk: Data<Desk>) -> Answer {
    desk.journal()?;
    desk.bell.notify_one();
    let said = json!({ "swept": "soon; the log tells when it is done" });
    Ok(HttpResponse::Accepted().json(said))
}

async fn cancel(desk: Data<Desk>, http: HttpRequest, id: Path<String>, body: Bytes) -> Answer {
    let id = asked::id(&id)?;
    let signed = Signed::read_alone(&body, named(&http).as_deref())?;
    let journal = desk.journal()?;
    let said = desk.run(async move { mend::cancel(&journal, id, signed).await });
    answer(&json!({ "request_id": id, "cancelled": said.await? }))
}

async fn audits(desk: Data<Desk>, http: HttpRequest) -> Answer {
    let mut limit = 100;
    for (key, value) in url::form_urlencoded::parse(http.query_string().as_bytes()) {
        match &*key {
            "limit" => limit = asked::limit(&value)?,
            _ => return Err(Refusal::Bad(format!("parameter {key:?} is not known"))),
        }
    }
    let journal = desk.journal()?;
    let audits = desk
        .run(async move { Ok(journal.audits(limit).await?) })
        .await?;
    let entries: Vec<AuditView> = audits.into_iter().map(AuditView::from).collect();
    answer(&json!({ "entries": entries }))
}

/// The name of the token that the request bears, if it has one.
pub(super) fn named(http: &HttpRequest) -> Option<String> {
    let extensions = http.extensions();
    extensions.get::<Named>().map(|Named(name)| name.clone())
}

pub(super) fn answer(body: &impl Serialize) -> Answer {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "no-store"));
    Ok(answer.json(body))
}
