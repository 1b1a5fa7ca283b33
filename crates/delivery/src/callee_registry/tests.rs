//! The right callee is found, and a bad one is named.

use super::*;

type Configured = (String, Option<String>, Option<String>);

fn callee(no: &str, name: &str, url: &str) -> Configured {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (no.to_owned(), given(name), given(url))
}

fn url_of(registry: &CalleeRegistry, no: &str) -> Option<String> {
    Some(registry.find(no)?.url.as_ref()?.url().to_string())
}

fn name_of<'a>(registry: &'a CalleeRegistry, no: &str) -> Option<&'a str> {
    registry.find(no)?.name.as_deref()
}

#[test]
fn the_five_callees_of_the_contract_are_shipped_without_urls() {
    let registry = CalleeRegistry::new([]).unwrap();
    let table = [
        ("EO001", "乐居新房"),
        ("EO002", "易楼"),
        ("EO003", "房友"),
        ("EO004", "楼盘字典"),
        ("EO005", "房源仓库"),
    ];
    for (no, name) in table {
        let found = registry.find(no).unwrap();
        assert_eq!(found.no, no);
        assert_eq!(found.name.as_deref(), Some(name));
        assert_eq!(found.url, None);
    }
    for no in ["EO000", "EO006", "", "EO001 ", "b42652fe"] {
        assert_eq!(registry.find(no), None, "{no:?}");
    }
}

#[test]
fn configuration_adds_a_url_renames_and_adds_callees() {
    let registry = CalleeRegistry::new([
        callee("EO001", "", "http://10.0.0.1/in"),
        callee("EO002", "易楼二", ""),
        callee("b42652fe", "", "https://example.com/x"),
        callee("caller-only", "来电", ""),
    ])
    .unwrap();
    assert_eq!(name_of(&registry, "EO001"), Some("乐居新房"));
    assert_eq!(
        url_of(&registry, "EO001").as_deref(),
        Some("http://10.0.0.1/in")
    );
    assert_eq!(name_of(&registry, "EO002"), Some("易楼二"));
    assert_eq!(url_of(&registry, "EO002"), None);
    assert_eq!(name_of(&registry, "b42652fe"), None);
    assert_eq!(
        url_of(&registry, "b42652fe").as_deref(),
        Some("https://example.com/x")
    );
    assert_eq!(name_of(&registry, "caller-only"), Some("来电"));
    assert_eq!(name_of(&registry, "EO005"), Some("房源仓库"));
}

#[test]
fn a_lower_case_key_reaches_the_shipped_callee() {
    let registry = CalleeRegistry::new([callee("eo003", "", "http://h/3")]).unwrap();
    let found = registry.find("EO003").unwrap();
    assert_eq!(
        (found.no.as_str(), found.name.as_deref()),
        ("EO003", Some("房友"))
    );
    assert_eq!(url_of(&registry, "EO003").as_deref(), Some("http://h/3"));
    assert_eq!(registry.find("eo003"), Some(found));
}

#[test]
fn an_exact_key_wins_over_one_that_differs_by_case_field_by_field() {
    let exact = callee("EO001", "", "http://exact/");
    let folded = callee("eo001", "改名", "http://folded/");
    for configured in [[exact.clone(), folded.clone()], [folded, exact]] {
        let registry = CalleeRegistry::new(configured).unwrap();
        assert_eq!(url_of(&registry, "EO001").as_deref(), Some("http://exact/"));
        assert_eq!(name_of(&registry, "EO001"), Some("改名"));
    }
}

#[test]
fn other_callees_may_differ_by_case_alone_and_are_found_exactly() {
    let registry = CalleeRegistry::new([
        callee("Abc", "one", ""),
        callee("aBC", "two", ""),
        callee("house7", "three", ""),
    ])
    .unwrap();
    assert_eq!(name_of(&registry, "Abc"), Some("one"));
    assert_eq!(name_of(&registry, "aBC"), Some("two"));
    // Ambiguous: better unknown than the wrong one.
    assert_eq!(registry.find("abc"), None);
    assert_eq!(name_of(&registry, "HOUSE7"), Some("three"));
}

#[test]
fn a_bad_callee_is_reported_by_number_and_error_in_one_sentence() {
    let long = "x".repeat(129);
    let number = "its number must be 1 to 128 bytes, not blank, without control characters";
    let table = [
        (
            vec![callee("EO001", "", "ftp://h/")],
            "callee \"EO001\": the URL does not begin with http:// or https://".to_owned(),
        ),
        (
            vec![callee("EO009", "", "http://h:0/?token=secret")],
            "callee \"EO009\": the URL has a port that cannot be called".to_owned(),
        ),
        (
            vec![callee("X", " ", "")],
            "callee \"X\": its name is blank".to_owned(),
        ),
        (vec![callee("", "", "")], format!("callee \"\": {number}")),
        (
            vec![callee("  ", "", "")],
            format!("callee \"  \": {number}"),
        ),
        (
            vec![callee("a\nb", "", "")],
            format!("callee \"a\\nb\": {number}"),
        ),
        (
            vec![callee(&long, "", "")],
            format!("callee \"{long}\": {number}"),
        ),
        (
            vec![callee("X", "a", ""), callee("X", "b", "")],
            "callee \"X\": it is configured twice".to_owned(),
        ),
        (
            vec![callee("eo001", "a", ""), callee("Eo001", "b", "")],
            "callee \"Eo001\": it is configured twice".to_owned(),
        ),
        (
            vec![
                callee("eo001", "a", ""),
                callee("EO001", "c", ""),
                callee("Eo001", "b", ""),
            ],
            "callee \"Eo001\": it is configured twice".to_owned(),
        ),
    ];
    for (configured, sentence) in table {
        let error = CalleeRegistry::new(configured).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
    let longest = "x".repeat(128);
    assert!(
        CalleeRegistry::new([callee(&longest, "", "")])
            .unwrap()
            .find(&longest)
            .is_some()
    );
}
