//! A metrics page as series, with the labels that Prometheus adds.

use std::collections::BTreeMap;

/// The series of one page: name and labels, and the value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Page(pub(super) BTreeMap<String, f64>);

impl Page {
    /// Reads OpenMetrics text. `labels` are added to each series. A timestamp in seconds since 1970
    /// becomes the distance from `now`: the pages are judged at a time of promtool's own.
    pub(super) fn parse(text: &str, labels: &str, now: f64) -> Self {
        let series = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| {
                let (series, value) = split(line);
                let value: f64 = value
                    .parse()
                    .unwrap_or_else(|_| panic!("no number: {line}"));
                (with_labels(series, labels), relative(series, value, now))
            });
        Self(series.collect())
    }
}

/// The series and its value. What stands behind, an exemplar, is left out.
fn split(line: &str) -> (&str, &str) {
    // A brace may stand in the value of a label.
    let end = match line.split_once('{') {
        Some((name, rest)) if rest.starts_with('}') => Some(name.len() + 2),
        Some(_) => line.find("\"} ").map(|at| at + 2),
        None => line.find(' '),
    };
    let end = end.unwrap_or_else(|| panic!("no series: {line}"));
    let value = line[end..].split_whitespace().next();
    (&line[..end], value.unwrap_or_default())
}

fn with_labels(series: &str, labels: &str) -> String {
    match series.split_once('{') {
        Some((name, "}")) => format!("{name}{{{labels}}}"),
        Some((name, own)) => format!("{name}{{{labels},{own}"),
        None => format!("{series}{{{labels}}}"),
    }
}

fn relative(series: &str, value: f64, now: f64) -> f64 {
    let name = series.split('{').next().unwrap_or_default();
    let is_time = name.ends_with("_timestamp_seconds") || name == "process_start_time_seconds";
    if is_time { value - now } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_with_labels_times_and_exemplars() {
        let text = "# TYPE a counter\n\
            a_total 3\n\
            a{} 7\n\
            b_bucket{le=\"+Inf\"} 4 # {trace_id=\"} 9\"} 0.5 1.0\n\
            c{target=\"x } y\",n=\"1\"} 2.5\n\
            d_expiry_timestamp_seconds{host=\"h\"} 1010.0\n\
            # EOF\n";
        let page = Page::parse(text, r#"job="j""#, 1_000.0);
        let expected = [
            (r#"a_total{job="j"}"#, 3.0),
            (r#"a{job="j"}"#, 7.0),
            (r#"b_bucket{job="j",le="+Inf"}"#, 4.0),
            (r#"c{job="j",target="x } y",n="1"}"#, 2.5),
            (r#"d_expiry_timestamp_seconds{job="j",host="h"}"#, 10.0),
        ];
        let expected = expected.map(|(series, value)| (series.to_owned(), value));
        assert_eq!(page, Page(expected.into_iter().collect()));
    }
}
