//! The console: pages for operators, on the listener of the API. Every page works without JavaScript,
//! and none asks anything of another host.
//!
//! - `routes.rs`: the table of all pages. Start here. `paths.rs`: their paths.
//! - `guard.rs`: the middleware: sign-in, other sites' requests, the headers of every answer.
//!   `sign_in.rs`: signing in and out. `cookies.rs`: what the browser keeps.
//! - `visit.rs`: who asks for a page, and in which language. `page.rs`: what every page has.
//! - `acts.rs`: retry now, cancel and replay, of one callback. `bulk.rs`: acts on many, first the dry run;
//!   `operations.rs`: how far they are.
//! - `find.rs`: the search box; `search.rs`: what its line means. `unreadable.rs`: messages that could not be
//!   decoded.
//! - `apps.rs`; `settings.rs`; `schedule.rs`: what if the waits were others.
//! - `target.rs`: one target. `waiting.rs`: what waits. `dead_groups.rs`: dead letters by what they have in
//!   common; `groups.rs`: the lines of groups. `chart.rs`: bars per hour.
//! - `overview.rs`, `targets.rs`, `callbacks.rs`, `dead_letters.rs`, `pauses.rs`, `audit.rs`: the pages. They show
//!   what the functions of `api/` give, which are called in this process.
//! - `live.rs`: attempts as they end; `live_stream.rs`: the events that bring the next ones.
//! - `language.rs`, `texts.rs`: the catalogue of all words, in English and Chinese; `translations.rs`: Chinese
//!   for names of the API; `stored.rs`: for words that are stored in English. `when.rs`: times.
//! - `sparkline.rs`: charts of the last hour.
//! - `inert.rs`: the escaper of the templates (`templates/console/`). `curl.rs`: a callback by hand. `assets.rs`: the style sheet,
//!   the icon and the scripts: `console.js`, and those of others in `vendor/`. `query.rs`: query strings of
//!   forms; `links.rs`: links with them. `filters.rs`: of the templates.

mod acts;
mod apps;
mod assets;
mod audit;
mod bulk;
#[cfg(test)]
mod bulk_tests;
mod callbacks;
mod chart;
#[cfg(test)]
mod chinese_tests;
mod cookies;
mod curl;
mod dead_groups;
mod dead_letters;
mod filters;
mod find;
mod groups;
mod guard;
mod inert;
mod language;
mod links;
mod live;
mod live_stream;
mod operations;
mod overview;
mod page;
#[cfg(test)]
mod page_tests;
mod paths;
mod pauses;
mod query;
mod routes;
mod schedule;
mod search;
mod settings;
mod sign_in;
mod sparkline;
mod stored;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod texts;
mod translations;
mod unreadable;
mod visit;
mod waiting;
mod when;

pub(crate) use guard::owns;
pub(crate) use live_stream::LiveWatchers;
pub(crate) use routes::configure;
