//! The list of the practice callee's paths, for people: `GET /` answers with it.

use std::fmt::Write as _;

/// What calls can be practised on, by any method.
const TARGETS: [(&str, &str); 9] = [
    ("/ok", "answers 200"),
    ("/status/503", "answers that status (100 to 599)"),
    (
        "/flaky/2",
        "answers 503 twice, then 200; counted per path and webhook-id",
    ),
    ("/slow/3000", "answers 200 after that many milliseconds"),
    ("/hang", "never answers"),
    (
        "/retry-after/2",
        "answers 429 with Retry-After: 2 the first time, then 200",
    ),
    ("/redirect/ok", "answers 307 to that path"),
    ("/redirect?to=URL", "answers 307 to that URL"),
    ("/reset", "closes the connection without a byte"),
];

/// What it tells of the calls.
const RECORDS: [(&str, &str); 4] = [
    (
        "GET /received",
        "what it has received; ?id=WEBHOOK_ID and ?since=INDEX narrow the list",
    ),
    ("GET /received/count", "how many requests those are"),
    ("DELETE /received", "forgets them"),
    ("GET /", "this list"),
];

/// The list as lines.
pub(super) fn page() -> String {
    let mut page = "The practice callee does what the path of a call says:\n\n".to_owned();
    let mut add = |(path, what): &(&str, &str)| {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "  {path:<20} {what}");
    };
    TARGETS.iter().for_each(&mut add);
    RECORDS.iter().for_each(&mut add);
    page
}

#[cfg(test)]
mod tests {
    use super::super::behavior;
    use super::*;

    #[test]
    fn every_path_of_the_list_does_something() {
        for (path, what) in TARGETS {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let status = behavior::of(path, query, 0).status();
            assert!(!matches!(status, Some(400 | 404)), "{path}: {status:?}");
            assert!(page().contains(what), "{what}");
        }
    }
}
