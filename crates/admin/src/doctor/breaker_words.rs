//! Why a breaker opened and for which apps, in both languages. Dispatchers say the reason in English.

use super::said::{Said, say};

/// Whose breaker it is, after what is said of it: of so many apps, of which these are known.
pub(crate) fn whose(apps: u32, names: &[String]) -> Said {
    let named = u32::try_from(names.len()).unwrap_or(u32::MAX);
    match (apps, named) {
        (0, _) => Said::default(),
        (1, 0) => say!(" for one app", "（涉及一个应用）"),
        (apps, 0) => say!(" for {apps} apps", "（涉及 {apps} 个应用）"),
        (1, _) => say!(" for the app {0}", "（应用 {0}）", names.join(", ")),
        // Each process names ten at most and counts its own: in all there may be more.
        (apps, named) if apps > named => say!(
            " for at least {apps} apps, {0} among them",
            "（至少 {apps} 个应用，其中有 {0}）",
            names.join(", ")
        ),
        (_, _) => say!(" for the apps {0}", "（应用 {0}）", names.join(", ")),
    }
}

/// The reason as a dispatcher says it; one that a newer version adds stays English.
pub(crate) fn reason(english: &str) -> Said {
    if english == "a probe failed" {
        return say!("a probe failed", "探测失败");
    }
    let counts = english
        .strip_suffix(" calls failed")
        .and_then(|counts| counts.split_once(" of "));
    match counts {
        Some((failed, calls)) => say!(
            "{failed} of {calls} calls failed",
            "{calls} 次调用中有 {failed} 次失败"
        ),
        None => english.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::said::Spoken as _;

    #[test]
    fn the_apps_are_named_as_far_as_they_are_known() {
        let names = ["crm".to_owned(), "erp".to_owned()];
        for (apps, named, english) in [
            (0, 0, ""),
            (1, 0, " for one app"),
            (3, 0, " for 3 apps"),
            (1, 1, " for the app crm"),
            (2, 2, " for the apps crm, erp"),
            (5, 2, " for at least 5 apps, crm, erp among them"),
        ] {
            let said = whose(apps, &names[..named]);
            assert_eq!(said.english(), english);
            assert_eq!(said.chinese().is_empty(), english.is_empty());
            let is_bound = english.contains("at least");
            assert_eq!(said.chinese().contains("至少"), is_bound, "{english}");
        }
    }

    #[test]
    fn a_reason_is_said_in_both_languages() {
        for (english, chinese) in [
            ("a probe failed", "探测失败"),
            ("12 of 20 calls failed", "20 次调用中有 12 次失败"),
            ("something new", "something new"),
        ] {
            let said = reason(english);
            assert_eq!((&*said.english(), &*said.chinese()), (english, chinese));
        }
    }
}
