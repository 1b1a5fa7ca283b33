//! What a check found, and the grade of all of them.

use std::fmt::Write as _;

use crate::lang::Lang;

/// How good it is. In this order, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// What would follow from something that did not happen.
    Note,
    /// As it should be.
    Good,
    /// It was not checked.
    Skipped,
    /// It works, and could be better.
    Warning,
    /// Callbacks will be lost, repeated or forged.
    Bad,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeFinding {
    pub(crate) name: &'static str,
    pub(crate) mark: Mark,
    pub(crate) sentence: String,
}

impl ProbeFinding {
    pub(super) fn new(name: &'static str, mark: Mark, sentence: impl Into<String>) -> Self {
        Self {
            name,
            mark,
            sentence: sentence.into(),
        }
    }

    pub(super) fn note(name: &'static str, sentence: String) -> Self {
        Self::new(name, Mark::Note, sentence)
    }
}

/// All findings in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// It may go live.
    Ready,
    /// It may go live, and should be better.
    Warnings,
    /// It must not go live.
    NotReady,
}

/// The grade: that of the worst finding.
pub(crate) fn grade(findings: &[ProbeFinding]) -> Grade {
    match findings.iter().map(|finding| finding.mark).max() {
        Some(Mark::Bad) => Grade::NotReady,
        Some(Mark::Warning) => Grade::Warnings,
        // What was not checked is named in its line; it says nothing against the callee.
        Some(Mark::Note | Mark::Good | Mark::Skipped) | None => Grade::Ready,
    }
}

impl Grade {
    pub(crate) const fn sentence(self, lang: Lang) -> &'static str {
        match self {
            Self::Ready => lang.say("grade: ready", "评级：可以上线"),
            Self::Warnings => lang.say("grade: ready, with warnings", "评级：可以上线，但有警告"),
            Self::NotReady => lang.say("grade: not ready", "评级：不可上线"),
        }
    }
}

impl Mark {
    const fn word(self, lang: Lang) -> &'static str {
        match self {
            Self::Note => lang.say("note", "说明"),
            Self::Good => lang.say("ok", "通过"),
            Self::Skipped => lang.say("skipped", "跳过"),
            Self::Warning => lang.say("warning", "警告"),
            Self::Bad => lang.say("BAD", "不通过"),
        }
    }
}

/// The findings, a line each, and the grade.
pub(crate) fn render(findings: &[ProbeFinding], lang: Lang) -> String {
    let mut text = String::new();
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "[{}] {}: {}",
            finding.mark.word(lang),
            finding.name,
            finding.sentence
        );
    }
    text.push_str(grade(findings).sentence(lang));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_a_note_does_not_count() {
        for (marks, expected) in [
            (&[][..], Grade::Ready),
            (&[Mark::Note, Mark::Good], Grade::Ready),
            (&[Mark::Good, Mark::Skipped], Grade::Ready),
            (&[Mark::Skipped, Mark::Warning], Grade::Warnings),
            (&[Mark::Warning, Mark::Good], Grade::Warnings),
            (&[Mark::Warning, Mark::Bad, Mark::Good], Grade::NotReady),
        ] {
            let findings: Vec<ProbeFinding> = marks
                .iter()
                .map(|mark| ProbeFinding::new("x", *mark, "y"))
                .collect();
            assert_eq!(grade(&findings), expected, "{marks:?}");
        }
        let findings = [ProbeFinding::new("证书", Mark::Bad, "已过期")];
        assert_eq!(
            render(&findings, Lang::Zh),
            "[不通过] 证书: 已过期\n评级：不可上线"
        );
    }
}
