//! Chinese pages have no English: every page is read for Latin words, and the Chinese of the console and of
//! what it shows has the words of the documents.

use std::collections::BTreeSet;

use askama::filters::Escaper as _;

use crate::api::error::{ApiError, ProblemCode};
use crate::config::Role;
use crate::doctor::said::{Said, Spoken as _};

use super::inert::Inert;
use super::language::PageLanguage;
use super::page;
use super::tests::{HOSTILE, all_pages, visit};

/// Words that are not translated: names of products, protocols, formats and units, of roles, callers and callees, and
/// what stands in settings, requests and commands.
const NAMES: [&str; 58] = [
    "Ringback",
    "ringback",
    "RabbitMQ",
    "PostgreSQL",
    "SQLite",
    "English",
    "UTC",
    "ID",
    "URL",
    "HTTP",
    "HTTPS",
    "JSON",
    "IPv",
    "TLS",
    "DNS",
    "NTP",
    "Retry",
    "After",
    "Content",
    "Type",
    "Bearer",
    "Host",
    "localhost",
    "curl",
    "ms",
    "KiB",
    "MiB",
    "p",
    "d",
    "h",
    "m",
    "s",
    "app",
    "crm",
    "status",
    "dead",
    "http",
    "https",
    "host",
    "since",
    "admin",
    "token",
    "tokens",
    "payload",
    "replay",
    "configure",
    "read",
    "dispatcher",
    "ingress",
    "serve",
    "queued",
    "retrying",
    "content",
    "type",
    "application",
    "json",
    "retry",
    "schedule",
];

/// What a reader sees or hears of a page: text, and the attributes that are read out.
fn visible(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let Some((tag, after)) = tag.split_once('>') else {
            break;
        };
        for name in [" title=\"", " aria-label=\"", " placeholder=\""] {
            let value = tag.split_once(name).and_then(|(_, it)| it.split_once('"'));
            if let Some((value, _)) = value {
                text.push_str(value);
                text.push(' ');
            }
        }
        // What is meant to be copied, and what other programs have written.
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        let is_verbatim = matches!(name, "pre" | "code" | "script");
        rest = match after.split_once(&format!("</{name}>")) {
            Some((_, after)) if is_verbatim => after,
            _ => after,
        };
    }
    text.push_str(rest);
    text
}

/// The Latin words of a text that are no names. A word with a digit, a dot or an underscore in it or beside it
/// is an identifier.
fn english_words(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_part = |char: char| char.is_ascii_alphanumeric() || "_./:-{}=?&#;@".contains(char);
    for word in text.split(|char: char| !is_part(char)) {
        let word = word.trim_matches(|char: char| ".:;?-".contains(char));
        let is_identifier =
            word.contains(|char: char| char.is_ascii_digit() || "_./{}=:&#".contains(char));
        let has_letters = word.contains(|char: char| char.is_ascii_alphabetic());
        if !has_letters || is_identifier {
            continue;
        }
        let parts = word.split('-');
        found.extend(
            parts
                .filter(|part| !part.is_empty() && !NAMES.contains(part))
                .map(str::to_owned),
        );
    }
    found
}

/// Without what strangers have sent.
fn without_strangers_texts(text: &str) -> String {
    let mut shown = String::new();
    Inert.write_escaped_str(&mut shown, HOSTILE).unwrap();
    text.replace(&shown, " ")
}

/// Names of outcomes, reasons and the like, which are the same in the API, in metrics and in searches.
fn without_api_names(words: BTreeSet<String>) -> BTreeSet<String> {
    let labels = delivery::retry::OUTCOME_LABELS.into_iter();
    let reasons = crate::api::reason::of_dead_letters().chain(crate::api::reason::of_deferrals());
    let names: BTreeSet<&str> = labels.chain(reasons).collect();
    let words = words.into_iter();
    words.filter(|word| !names.contains(&**word)).collect()
}

#[test]
fn no_chinese_page_has_english_words() {
    let pages = all_pages(PageLanguage::Chinese).into_iter();
    let english = pages.filter_map(|(name, html)| {
        let text = without_strangers_texts(&visible(&html));
        let found = without_api_names(english_words(&text));
        (!found.is_empty()).then_some((name, found))
    });
    let english: Vec<_> = english.collect();
    assert!(english.is_empty(), "{english:#?}");
}

#[test]
fn the_search_for_english_finds_some() {
    let html = "<p title=\"an error\">缓存 of <b>Retry-After</b> a_b c.d 7s</p><pre>kept</pre>";
    let found = english_words(&visible(html));
    let expected = ["an", "error", "of"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}

#[tokio::test]
async fn every_error_page_is_chinese() {
    let visit = visit(PageLanguage::Chinese);
    let mut problems = vec![
        ApiError::Unauthenticated,
        ApiError::Forbidden(Role::Replay),
        ApiError::MethodNotAllowed("GET".to_owned()),
        ApiError::NotJson,
        ApiError::BodyTooLarge(9),
        ApiError::NoJournal,
        ApiError::Internal,
        ApiError::unknown_callback(uuid::Uuid::nil()),
    ];
    let empty = Said::both("English".to_owned(), "中文".to_owned());
    let all = ProblemCode::ALL.iter();
    problems.extend(all.map(|code| ApiError::rejected(*code, empty.clone())));
    for problem in problems {
        assert_ne!(problem.said().english(), problem.said().chinese());
        let answer = page::error(&visit, &problem);
        let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        let html = std::str::from_utf8(&body).unwrap();
        let mut found = english_words(&visible(html));
        // A method of HTTP, and a setting.
        found.remove("GET");
        assert!(found.is_empty(), "{problem:?}: {found:?}");
    }
}

/// The documents' word for each thing, and other words for the same that the console must not use.
const WORDS: [(&str, &[&str]); 6] = [
    ("回调记录库", &["日志库", "日志数据库"]),
    ("嵌入式", &["内嵌"]),
    ("无法解析", &["无法解码", "不可解码"]),
    ("dispatcher", &["分发进程", "调度器"]),
    ("被回调方", &["接收方"]),
    ("死信", &["死亡信件"]),
];

#[test]
fn the_chinese_words_are_those_of_the_documents() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let documents = [
        "README.zh-CN.md",
        "docs/runbook.zh-CN.md",
        "docs/reference/http-api.zh-CN.md",
    ];
    let documents: String = documents
        .iter()
        .map(|path| std::fs::read_to_string(format!("{root}/{path}")).unwrap())
        .collect();
    for (word, others) in WORDS {
        assert!(documents.contains(word), "the documents do not say {word}");
        for other in others {
            assert!(!documents.contains(other), "the documents say {other}");
        }
    }
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|it| it != "rs") || path.ends_with("chinese_tests.rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for (word, others) in WORDS {
                for other in others {
                    let path = path.display();
                    assert!(!source.contains(other), "{path}: {other}, not {word}");
                }
            }
        }
    }
}
