//! The console: pages for operators, on the listener of the API. No page needs JavaScript, and none
//! asks anything of another host.
//!
//! - `routes.rs`: the table of all pages. Start here. `paths.rs`: their paths.
//! - `guard.rs`: the middleware: sign-in, other sites' requests, the headers of every answer.
//!   `sign_in.rs`: signing in and out. `cookies.rs`: what the browser keeps.
//! - `visit.rs`: who asks for a page, and in which language. `page.rs`: what every page has.
//! - `acts.rs`: retry now, cancel and replay, of one callback.
//! - `overview.rs`, `targets.rs`, `callbacks.rs`, `dead_letters.rs`, `pauses.rs`, `audit.rs`: the pages. They show
//!   what the functions of `api/` give, which are called in this process.
//! - `language.rs`, `texts.rs`: the catalogue of all words, in English and Chinese. `when.rs`: times.
//! - `inert.rs`: the escaper of the templates (`templates/console/`). `assets.rs`: the style sheet and
//!   the icon. `query.rs`: query strings of forms.

mod acts;
mod assets;
mod audit;
mod callbacks;
mod cookies;
mod dead_letters;
mod guard;
mod inert;
mod language;
mod overview;
mod page;
mod paths;
mod pauses;
mod query;
mod routes;
mod sign_in;
mod targets;
#[cfg(test)]
mod tests;
mod texts;
mod visit;
mod when;

pub(crate) use guard::owns;
pub(crate) use routes::configure;
