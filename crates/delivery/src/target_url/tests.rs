//! The right URLs are refused, and the others are parsed as they will be called.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> TargetUrl {
    TargetUrl::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn each_error_is_named() {
    let table = [
        ("", UrlError::Malformed),
        ("/api/doc", UrlError::Malformed),
        ("//example.com/", UrlError::Malformed),
        ("example.com/x", UrlError::Malformed),
        (" http://example.com/", UrlError::Malformed),
        ("http://example.com/ ", UrlError::Malformed),
        ("http://example.com/\u{3000}", UrlError::Malformed),
        ("http://exa mple.com/", UrlError::Malformed),
        ("http://[::1/", UrlError::Malformed),
        ("http://[fe80::1%25eth0]/", UrlError::Malformed),
        ("http://256.256.256.256/", UrlError::Malformed),
        ("http://u%40example.com/", UrlError::Malformed),
        ("http://a\u{ff20}example.com/", UrlError::Malformed),
        ("http://example.com/\tx", UrlError::ControlCharacter),
        ("ht\ntp://example.com/", UrlError::ControlCharacter),
        (
            "http://example.com/p\r\nX-Injected: 1",
            UrlError::ControlCharacter,
        ),
        ("http://example.com/\0", UrlError::ControlCharacter),
        ("http://example.com/\u{7f}", UrlError::ControlCharacter),
        ("http://example.com/\u{85}", UrlError::ControlCharacter),
        ("http://example.com/\n", UrlError::ControlCharacter),
        ("ftp://example.com/", UrlError::Scheme),
        ("file:///etc/passwd", UrlError::Scheme),
        ("gopher://example.com/", UrlError::Scheme),
        ("ws://example.com/", UrlError::Scheme),
        ("data:text/plain,x", UrlError::Scheme),
        ("javascript:alert(1)", UrlError::Scheme),
        ("unix:/var/run/docker.sock", UrlError::Scheme),
        ("localhost:8080/x", UrlError::Scheme),
        ("http://u@example.com/", UrlError::UserInfo),
        ("http://u:p@example.com/", UrlError::UserInfo),
        ("http://:p@example.com/", UrlError::UserInfo),
        ("http://:@example.com/", UrlError::UserInfo),
        ("http://@example.com/", UrlError::UserInfo),
        ("http:@example.com/", UrlError::UserInfo),
        ("http:\\\\@example.com/", UrlError::UserInfo),
        ("http:///u@example.com", UrlError::UserInfo),
        ("http://u%40x@example.com?q", UrlError::UserInfo),
        ("http://example.com:80@127.0.0.1/", UrlError::UserInfo),
        ("http://", UrlError::NoHost),
        ("https:///", UrlError::NoHost),
        ("http://:80/", UrlError::NoHost),
        ("http://?q", UrlError::NoHost),
        ("http://./", UrlError::Malformed),
        ("http://example.com:0/", UrlError::Port),
        ("http://example.com:000/", UrlError::Port),
        ("http://example.com:65536/", UrlError::Port),
        ("http://example.com:http/", UrlError::Port),
        ("http://example.com:-1/", UrlError::Port),
    ];
    for (text, error) in table {
        assert_eq!(TargetUrl::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn the_limit_counts_bytes_as_written_and_as_sent() {
    let sized = |length: usize| format!("{:a<length$}", "http://example.com/");
    assert_eq!(parsed(&sized(2_048)).url().as_str().len(), 2_048);
    let too_long = Err(UrlError::TooLong { max: 2_048 });
    assert_eq!(TargetUrl::parse(&sized(2_049)), too_long);
    // 3 bytes as written, 9 as sent.
    assert_eq!(
        TargetUrl::parse(&format!("http://example.com/{}", "楼".repeat(300))),
        too_long
    );
    // The fragment is never sent, but it counts.
    assert_eq!(
        TargetUrl::parse(&format!("http://h/#{}", "a".repeat(2_048))),
        too_long
    );
}

#[test]
fn a_good_url_is_kept_and_its_fragment_dropped() {
    let table = [
        (
            "https://xxx.com/api/doc",
            "https://xxx.com/api/doc",
            "https://xxx.com:443",
        ),
        (
            "HTTP://Example.COM",
            "http://example.com/",
            "http://example.com:80",
        ),
        (
            "http://example.com:8080/a?b=c#d",
            "http://example.com:8080/a?b=c",
            "http://example.com:8080",
        ),
        (
            "https://example.com:443/",
            "https://example.com/",
            "https://example.com:443",
        ),
        (
            "http://example.com./",
            "http://example.com./",
            "http://example.com:80",
        ),
        (
            "http://[2606:4700::1111]/",
            "http://[2606:4700::1111]/",
            "http://[2606:4700::1111]:80",
        ),
        (
            "https://房源.example/",
            "https://xn--7ou17y.example/",
            "https://xn--7ou17y.example:443",
        ),
        ("http://h/a@b?c@d", "http://h/a@b?c@d", "http://h:80"),
        ("http://h?@", "http://h/?@", "http://h:80"),
        ("http://h/a b", "http://h/a%20b", "http://h:80"),
    ];
    for (text, url, target) in table {
        let found = parsed(text);
        assert_eq!(found.url().as_str(), url, "{text:?}");
        assert_eq!(found.target().to_string(), target, "{text:?}");
    }
}

#[test]
fn a_target_has_scheme_host_and_port() {
    let target = parsed("https://[::1]:8443/x").target();
    assert_eq!(
        (target.scheme(), target.host(), target.port()),
        ("https", "[::1]", 8_443)
    );
    assert_ne!(target, parsed("http://[::1]:8443/x").target());
    assert_ne!(target, parsed("https://[::1]/x").target());
    assert_eq!(target, parsed("https://[0:0::1]:8443/y?z").target());
}

#[test]
fn a_query_string_is_never_shown() {
    let url = parsed("https://example.com/a?token=secret&x=?");
    assert_eq!(url.masked(), "https://example.com/a?…");
    assert_eq!(format!("{url:?}"), "TargetUrl(\"https://example.com/a?…\")");
    assert_eq!(
        parsed("https://example.com/a").masked(),
        "https://example.com/a"
    );
    assert_eq!(
        parsed("https://example.com/a#?b").masked(),
        "https://example.com/a"
    );
}

#[test]
fn an_address_is_known_in_every_spelling() {
    let loopback = [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0X7F.1/",
        "http://017700000001/",
        "http://0177.0.0.01/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1./",
        "http://0x7f.0.0x0.1/",
        "http://%31%32%37.0.0.1/",
        "http://１２７.０.０.１/",
        "http://127。0．0｡1/",
        "http://①②⑦.⓪.⓪.①/",
        "http:127.0.0.1",
        "http:/127.0.0.1/",
        "http:///127.0.0.1/",
        "http:\\\\127.0.0.1\\x",
        "http://127.0.0.1\\@example.com/",
    ];
    for text in loopback {
        assert_eq!(
            parsed(text).literal(),
            Some([127, 0, 0, 1].into()),
            "{text:?}"
        );
    }
    let mapped = parsed("http://[::ffff:7f00:1]/").literal();
    assert_eq!(mapped, Some("::ffff:127.0.0.1".parse().unwrap()));
    for name in [
        "http://localhost/",
        "http://127.0.0.1.example.com/",
        "http://a.b/127.0.0.1",
    ] {
        assert_eq!(parsed(name).literal(), None, "{name:?}");
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in any::<String>()) {
        let _ = TargetUrl::parse(&text);
    }

    #[test]
    fn what_is_parsed_once_parses_to_itself(
        text in "(http|https|HTTP|ftp):[/\\\\]{0,3}[a-z0-9.:@%\\[\\]\u{ff10}-\u{ff19}楼]{1,12}[/\\\\?#:@ a-z%.楼]{0,12}",
    ) {
        if let Ok(url) = TargetUrl::parse(&text) {
            prop_assert_eq!(TargetUrl::parse(url.url().as_str()), Ok(url.clone()));
            prop_assert_eq!(url.url().username(), "");
            prop_assert_eq!(url.url().password(), None);
            prop_assert_eq!(url.url().fragment(), None);
        }
    }
}

#[test]
fn a_name_that_cannot_be_resolved_or_sent_is_refused() {
    let long_label = format!("http://{}.cn/", "a".repeat(64));
    let long_name = format!("http://{}cn/", "a2345678.".repeat(28));
    for text in [
        "http://a{b}.example/",
        "http://a`b.example/",
        "http://a\"b.example/",
        "http://a..example/",
        "http://.example/",
        long_label.as_str(),
        long_name.as_str(),
    ] {
        assert!(TargetUrl::parse(text).is_err(), "{text}");
    }
    for text in [
        "http://a_b.example./",
        "http://xn--fiqs8s/",
        "http://\u{4e2d}\u{56fd}.cn/",
    ] {
        assert!(TargetUrl::parse(text).is_ok(), "{text}");
    }
}
