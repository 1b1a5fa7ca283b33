//! Does a request get in by its own app's credential, and by no other?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

const WINDOW: Duration = Duration::from_secs(300);
const NOW: u64 = 1_700_000_000;

fn app(id: &str, keys: &[&str], secrets: &[u8]) -> App {
    App {
        id: id.to_owned(),
        keys: keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect(),
        secrets: secrets.iter().map(|byte| secret(*byte)).collect(),
        disabled: false,
        rate: None,
        quota: None,
    }
}

fn secret(byte: u8) -> Secret {
    Secret::parse(&Secret::text(&[byte; 32])).unwrap()
}

fn callers(mode: Mode) -> Callers {
    let gone = App {
        disabled: true,
        ..app("gone", &["key-g"], &[9])
    };
    let apps = [
        app("a", &["key-a", "key-a2"], &[1, 2]),
        app("B", &["key-b"], &[3]),
        gone,
    ];
    Callers::new(mode, WINDOW, apps).unwrap()
}

fn sign(byte: u8, id: &str, time: u64, payload: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&[byte; 32]).unwrap();
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(payload);
    let made = mac.finalize().into_bytes();
    format!("v1,{}", STANDARD.encode(made))
}

fn verify(
    app: &str,
    id: &str,
    time: u64,
    signature: &str,
    payload: &[u8],
) -> Result<String, Refused> {
    let callers = callers(Mode::Hmac);
    let time = time.to_string();
    let signed = Signed::read(Some(id), Some(&time), Some(signature)).ok_or(Refused::Missing)?;
    let found = callers.signature(app, &signed, payload, NOW);
    found.map(|app| app.id.clone())
}

#[test]
fn a_key_proves_its_own_app_alone() {
    let callers = callers(Mode::Bearer);
    let of = |value: Option<&str>| callers.bearer(value).map(|app| &*app.id);
    for key in ["Bearer key-a", "bearer key-a2", "BEARER  key-a "] {
        assert_eq!(of(Some(key)), Ok("a"), "{key}");
    }
    assert_eq!(of(Some("Bearer key-b")), Ok("B"));
    for wrong in [
        "Bearer key-c",
        "Bearer ",
        "Bearer key-a key-b",
        "Bearer KEY-A",
    ] {
        assert_eq!(of(Some(wrong)), Err(Refused::Wrong), "{wrong}");
    }
    for missing in [None, Some(""), Some("key-a"), Some("Basic key-a")] {
        assert_eq!(of(missing), Err(Refused::Missing), "{missing:?}");
    }
    assert_eq!(of(Some("Bearer key-g")), Err(Refused::Disabled));
}

#[test]
fn the_standards_own_example_is_taken() {
    // The test vector of the standard's reference libraries.
    let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let own = App {
        secrets: vec![Secret::parse(text).unwrap()],
        ..app("a", &[], &[])
    };
    let callers = Callers::new(Mode::Hmac, WINDOW, [own]).unwrap();
    let signed = Signed::read(
        Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        Some("1614265330"),
        Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    );
    let signed = signed.unwrap();
    let payload = br#"{"test": 2432232314}"#;
    let found = callers.signature("a", &signed, payload, 1_614_265_330);
    assert_eq!(found.map(|app| &*app.id), Ok("a"));
}

#[test]
fn either_secret_signs_while_they_are_being_changed() {
    for byte in [1, 2] {
        let signature = sign(byte, "m", NOW, b"{}");
        assert_eq!(verify("a", "m", NOW, &signature, b"{}"), Ok("a".to_owned()));
        let several = format!("v1a,xyz {} {signature}", sign(7, "m", NOW, b"{}"));
        assert_eq!(verify("a", "m", NOW, &several, b"{}"), Ok("a".to_owned()));
    }
}

#[test]
fn unknown_and_wrong_are_one_and_the_same() {
    let signature = sign(1, "m", NOW, b"{}");
    for app in ["B", "nobody", "", "A"] {
        assert_eq!(
            verify(app, "m", NOW, &signature, b"{}"),
            Err(Refused::Wrong)
        );
    }
    // The filler that unknown apps are compared with opens nothing.
    let filler = sign(0x5A, "m", NOW, b"{}");
    for app in ["nobody", "B"] {
        assert_eq!(verify(app, "m", NOW, &filler, b"{}"), Err(Refused::Wrong));
    }
    let gone = sign(9, "m", NOW, b"{}");
    assert_eq!(
        verify("gone", "m", NOW, &gone, b"{}"),
        Err(Refused::Disabled)
    );
}

#[test]
fn a_signature_lives_as_long_as_the_window() {
    for (time, expected) in [
        (NOW - 300, Ok("a".to_owned())),
        (NOW + 300, Ok("a".to_owned())),
        (NOW - 301, Err(Refused::Stale)),
        (NOW + 301, Err(Refused::Stale)),
        (0, Err(Refused::Stale)),
        (u64::MAX, Err(Refused::Stale)),
    ] {
        let signature = sign(1, "m", time, b"{}");
        assert_eq!(
            verify("a", "m", time, &signature, b"{}"),
            expected,
            "{time}"
        );
    }
}

#[test]
fn what_is_no_signed_request_is_told_as_missing() {
    let good = sign(1, "m", NOW, b"");
    let long = "i".repeat(129);
    let read = |id, time, signature| Signed::read(id, time, signature).is_some();
    assert!(read(Some("m"), Some("1"), Some(&good)));
    for id in [
        None,
        Some(""),
        Some("a.b"),
        Some("a b"),
        Some("é"),
        Some(&*long),
    ] {
        assert!(!read(id, Some("1"), Some(&good)), "{id:?}");
    }
    for time in [
        None,
        Some(""),
        Some("+1"),
        Some("-1"),
        Some("1.5"),
        Some("99999999999999999999"),
    ] {
        assert!(!read(Some("m"), time, Some(&good)), "{time:?}");
    }
    for bad in [
        None,
        Some(""),
        Some("v1"),
        Some("v1,"),
        Some("v1,AAAA"),
        Some("v2,xx"),
        Some(&good[3..]),
    ] {
        assert!(!read(Some("m"), Some("1"), bad), "{bad:?}");
    }
}

#[test]
fn apps_that_could_not_be_told_apart_are_refused() {
    let new = |one, two| Callers::new(Mode::Hmac, WINDOW, [one, two]).map(drop);
    let refused = new(app("a", &["k"], &[]), app("b", &["k"], &[]));
    assert_eq!(refused, Err(("b".to_owned(), CallersError::SharedKey)));
    let refused = new(app("a", &[], &[1]), app("b", &[], &[2, 1]));
    assert_eq!(refused, Err(("b".to_owned(), CallersError::SharedSecret)));
}

proptest! {
    #[test]
    fn one_bit_changed_anywhere_is_refused(
        id in "[a-z0-9_]{1,40}",
        payload in prop::collection::vec(any::<u8>(), 1..200),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let signature = sign(1, &id, NOW, &payload);
        let own = Ok("a".to_owned());
        prop_assert_eq!(verify("a", &id, NOW, &signature, &payload), own);
        let mut other = payload.clone();
        other[place.index(payload.len())] ^= 1 << bit;
        prop_assert_eq!(verify("a", &id, NOW, &signature, &other), Err(Refused::Wrong));
        prop_assert_eq!(verify("a", &id, NOW + 1, &signature, &payload), Err(Refused::Wrong));
        let longer = format!("{id}x");
        prop_assert_eq!(verify("a", &longer, NOW, &signature, &payload), Err(Refused::Wrong));
    }

    #[test]
    fn any_headers_are_judged_without_a_panic(id in any::<String>(), time in any::<String>(), signature in any::<String>()) {
        if let Some(signed) = Signed::read(Some(&id), Some(&time), Some(&signature)) {
            prop_assert!(callers(Mode::Hmac).signature("a", &signed, b"", NOW).is_err());
        }
    }

    #[test]
    fn nearly_a_signature_is_judged_without_a_panic(signature in "(v1,|v1a,|v2,|[ ,=A-Za-z0-9+/]){0,30}") {
        let _ = Signed::read(Some("m"), Some("1"), Some(&signature));
        let _ = callers(Mode::Bearer).bearer(Some(&signature));
    }
}
