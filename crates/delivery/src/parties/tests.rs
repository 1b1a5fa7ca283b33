//! Is the right party found, and is a wrong one told by name?

use super::*;

type Entry = (String, Option<String>, Option<String>);

fn entry(no: &str, name: &str, url: &str) -> Entry {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (no.to_owned(), given(name), given(url))
}

fn url_of(parties: &Parties, no: &str) -> Option<String> {
    Some(parties.find(no)?.url.as_ref()?.url().to_string())
}

fn name_of<'a>(parties: &'a Parties, no: &str) -> Option<&'a str> {
    parties.find(no)?.name.as_deref()
}

#[test]
fn the_five_parties_of_the_contract_are_shipped_without_urls() {
    let parties = Parties::new([]).unwrap();
    let table = [
        ("EO001", "乐居新房"),
        ("EO002", "易楼"),
        ("EO003", "房友"),
        ("EO004", "楼盘字典"),
        ("EO005", "房源仓库"),
    ];
    for (no, name) in table {
        let party = parties.find(no).unwrap();
        assert_eq!(party.no, no);
        assert_eq!(party.name.as_deref(), Some(name));
        assert_eq!(party.url, None);
    }
    for no in ["EO000", "EO006", "", "EO001 ", "b42652fe"] {
        assert_eq!(parties.find(no), None, "{no:?}");
    }
}

#[test]
fn configuration_adds_a_url_renames_and_adds_parties() {
    let parties = Parties::new([
        entry("EO001", "", "http://10.0.0.1/in"),
        entry("EO002", "易楼二", ""),
        entry("b42652fe", "", "https://example.com/x"),
        entry("caller-only", "来电", ""),
    ])
    .unwrap();
    assert_eq!(name_of(&parties, "EO001"), Some("乐居新房"));
    assert_eq!(
        url_of(&parties, "EO001").as_deref(),
        Some("http://10.0.0.1/in")
    );
    assert_eq!(name_of(&parties, "EO002"), Some("易楼二"));
    assert_eq!(url_of(&parties, "EO002"), None);
    assert_eq!(name_of(&parties, "b42652fe"), None);
    assert_eq!(
        url_of(&parties, "b42652fe").as_deref(),
        Some("https://example.com/x")
    );
    assert_eq!(name_of(&parties, "caller-only"), Some("来电"));
    assert_eq!(name_of(&parties, "EO005"), Some("房源仓库"));
}

#[test]
fn a_lower_case_key_reaches_the_shipped_party() {
    let parties = Parties::new([entry("eo003", "", "http://h/3")]).unwrap();
    let party = parties.find("EO003").unwrap();
    assert_eq!(
        (party.no.as_str(), party.name.as_deref()),
        ("EO003", Some("房友"))
    );
    assert_eq!(url_of(&parties, "EO003").as_deref(), Some("http://h/3"));
    assert_eq!(parties.find("eo003"), Some(party));
}

#[test]
fn an_exact_key_wins_over_one_that_differs_by_case_field_by_field() {
    let exact = entry("EO001", "", "http://exact/");
    let folded = entry("eo001", "改名", "http://folded/");
    for configured in [[exact.clone(), folded.clone()], [folded, exact]] {
        let parties = Parties::new(configured).unwrap();
        assert_eq!(url_of(&parties, "EO001").as_deref(), Some("http://exact/"));
        assert_eq!(name_of(&parties, "EO001"), Some("改名"));
    }
}

#[test]
fn other_parties_may_differ_by_case_alone_and_are_found_exactly() {
    let parties = Parties::new([
        entry("Abc", "one", ""),
        entry("aBC", "two", ""),
        entry("house7", "three", ""),
    ])
    .unwrap();
    assert_eq!(name_of(&parties, "Abc"), Some("one"));
    assert_eq!(name_of(&parties, "aBC"), Some("two"));
    // Which of the two is meant? Better unknown than the wrong one.
    assert_eq!(parties.find("abc"), None);
    assert_eq!(name_of(&parties, "HOUSE7"), Some("three"));
}

#[test]
fn a_wrong_party_is_told_by_number_and_flaw_in_one_sentence() {
    let long = "x".repeat(129);
    let number = "its number must be 1 to 128 bytes, not blank, without control characters";
    let table = [
        (
            vec![entry("EO001", "", "ftp://h/")],
            "party \"EO001\": the URL does not begin with http:// or https://".to_owned(),
        ),
        (
            vec![entry("EO009", "", "http://h:0/?token=secret")],
            "party \"EO009\": the URL has a port that cannot be called".to_owned(),
        ),
        (
            vec![entry("X", " ", "")],
            "party \"X\": its name is blank".to_owned(),
        ),
        (vec![entry("", "", "")], format!("party \"\": {number}")),
        (vec![entry("  ", "", "")], format!("party \"  \": {number}")),
        (
            vec![entry("a\nb", "", "")],
            format!("party \"a\\nb\": {number}"),
        ),
        (
            vec![entry(&long, "", "")],
            format!("party \"{long}\": {number}"),
        ),
        (
            vec![entry("X", "a", ""), entry("X", "b", "")],
            "party \"X\": it is configured twice".to_owned(),
        ),
        (
            vec![entry("eo001", "a", ""), entry("Eo001", "b", "")],
            "party \"Eo001\": it is configured twice".to_owned(),
        ),
        (
            vec![
                entry("eo001", "a", ""),
                entry("EO001", "c", ""),
                entry("Eo001", "b", ""),
            ],
            "party \"Eo001\": it is configured twice".to_owned(),
        ),
    ];
    for (configured, sentence) in table {
        let error = Parties::new(configured).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
    let longest = "x".repeat(128);
    assert!(
        Parties::new([entry(&longest, "", "")])
            .unwrap()
            .find(&longest)
            .is_some()
    );
}
