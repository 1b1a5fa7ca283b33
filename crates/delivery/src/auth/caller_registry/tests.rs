//! A request is accepted by a credential of its own app, and by no other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

const TOLERANCE: Duration = Duration::from_secs(300);
const NOW: u64 = 1_700_000_000;

fn app(id: &str, keys: &[&str], secrets: &[u8]) -> RegisteredApp {
    RegisteredApp {
        id: id.to_owned(),
        keys: keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect(),
        secrets: secrets.iter().map(|byte| secret(*byte)).collect(),
        disabled: false,
        rate: None,
        max_in_flight: None,
    }
}

fn secret(byte: u8) -> Secret {
    Secret::parse(&Secret::text(&[byte; 32])).unwrap()
}

fn registry(mode: AuthMode) -> CallerRegistry {
    let disabled = RegisteredApp {
        disabled: true,
        ..app("disabled", &["key-d"], &[9])
    };
    let apps = [
        app("a", &["key-a", "key-a2"], &[1, 2]),
        app("B", &["key-b"], &[3]),
        disabled,
    ];
    CallerRegistry::new(mode, TOLERANCE, apps).unwrap()
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
) -> Result<String, AuthError> {
    let registry = registry(AuthMode::Hmac);
    let time = time.to_string();
    let headers = SignatureHeaders::parse(Some(id), Some(&time), Some(signature))?;
    let found = registry.verify_signature(app, &headers, payload, NOW);
    found.map(|app| app.id.clone())
}

#[test]
fn a_key_proves_its_own_app_only() {
    let registry = registry(AuthMode::Bearer);
    let of = |value: Option<&str>| registry.verify_bearer(value).map(|app| &*app.id);
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
        assert_eq!(of(Some(wrong)), Err(AuthError::Wrong), "{wrong}");
    }
    assert_eq!(of(None), Err(AuthError::Missing));
    for malformed in ["", "key-a", "Basic key-a"] {
        assert_eq!(
            of(Some(malformed)),
            Err(AuthError::Malformed),
            "{malformed}"
        );
    }
    assert_eq!(of(Some("Bearer key-d")), Err(AuthError::Disabled));
}

#[test]
fn the_standards_own_example_is_accepted() {
    // The test vector of the standard's reference libraries.
    let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let own = RegisteredApp {
        secrets: vec![Secret::parse(text).unwrap()],
        ..app("a", &[], &[])
    };
    let registry = CallerRegistry::new(AuthMode::Hmac, TOLERANCE, [own]).unwrap();
    let headers = SignatureHeaders::parse(
        Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        Some("1614265330"),
        Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    );
    let headers = headers.unwrap();
    let payload = br#"{"test": 2432232314}"#;
    let found = registry.verify_signature("a", &headers, payload, 1_614_265_330);
    assert_eq!(found.map(|app| &*app.id), Ok("a"));
}

#[test]
fn either_secret_signs_during_a_rotation() {
    for byte in [1, 2] {
        let signature = sign(byte, "m", NOW, b"{}");
        assert_eq!(verify("a", "m", NOW, &signature, b"{}"), Ok("a".to_owned()));
        let several = format!("v1a,xyz {} {signature}", sign(7, "m", NOW, b"{}"));
        assert_eq!(verify("a", "m", NOW, &several, b"{}"), Ok("a".to_owned()));
    }
}

#[test]
fn an_unknown_app_and_a_wrong_secret_are_the_same_error() {
    let signature = sign(1, "m", NOW, b"{}");
    for app in ["B", "unknown", "", "A"] {
        assert_eq!(
            verify(app, "m", NOW, &signature, b"{}"),
            Err(AuthError::Wrong)
        );
    }
    // The dummy secret of unknown apps proves nothing.
    let dummy = sign(0x5A, "m", NOW, b"{}");
    for app in ["unknown", "B"] {
        assert_eq!(verify(app, "m", NOW, &dummy, b"{}"), Err(AuthError::Wrong));
    }
    let signature = sign(9, "m", NOW, b"{}");
    assert_eq!(
        verify("disabled", "m", NOW, &signature, b"{}"),
        Err(AuthError::Disabled)
    );
}

#[test]
fn a_signature_is_valid_within_the_tolerance() {
    for (time, expected) in [
        (NOW - 300, Ok("a".to_owned())),
        (NOW + 300, Ok("a".to_owned())),
        (NOW - 301, Err(AuthError::Stale)),
        (NOW + 301, Err(AuthError::Stale)),
        (0, Err(AuthError::Stale)),
        (u64::MAX, Err(AuthError::Stale)),
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
fn absent_headers_are_missing_and_unreadable_ones_malformed() {
    let good = sign(1, "m", NOW, b"");
    let long = "i".repeat(129);
    let parse = |id, time, signature| SignatureHeaders::parse(id, time, signature).map(drop);
    assert_eq!(parse(Some("m"), Some("1"), Some(&good)), Ok(()));
    let of = |value: Option<&str>| Err(value.map_or(AuthError::Missing, |_| AuthError::Malformed));
    for id in [
        None,
        Some(""),
        Some("a.b"),
        Some("a b"),
        Some("é"),
        Some(&*long),
    ] {
        assert_eq!(parse(id, Some("1"), Some(&good)), of(id), "{id:?}");
    }
    for time in [
        None,
        Some(""),
        Some("+1"),
        Some("-1"),
        Some("1.5"),
        Some("99999999999999999999"),
    ] {
        assert_eq!(parse(Some("m"), time, Some(&good)), of(time), "{time:?}");
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
        assert_eq!(parse(Some("m"), Some("1"), bad), of(bad), "{bad:?}");
    }
}

#[test]
fn apps_with_the_same_credential_are_refused() {
    let new = |one, two| CallerRegistry::new(AuthMode::Hmac, TOLERANCE, [one, two]).map(drop);
    let error = new(app("a", &["k"], &[]), app("b", &["k"], &[]));
    assert_eq!(error, Err(("b".to_owned(), CallerRegistryError::SharedKey)));
    let error = new(app("a", &[], &[1]), app("b", &[], &[2, 1]));
    assert_eq!(
        error,
        Err(("b".to_owned(), CallerRegistryError::SharedSecret))
    );
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
        prop_assert_eq!(verify("a", &id, NOW, &signature, &other), Err(AuthError::Wrong));
        prop_assert_eq!(verify("a", &id, NOW + 1, &signature, &payload), Err(AuthError::Wrong));
        let longer = format!("{id}x");
        prop_assert_eq!(verify("a", &longer, NOW, &signature, &payload), Err(AuthError::Wrong));
    }

    #[test]
    fn no_headers_cause_a_panic(id in any::<String>(), time in any::<String>(), signature in any::<String>()) {
        if let Ok(headers) = SignatureHeaders::parse(Some(&id), Some(&time), Some(&signature)) {
            prop_assert!(registry(AuthMode::Hmac).verify_signature("a", &headers, b"", NOW).is_err());
        }
    }

    #[test]
    fn no_signature_causes_a_panic(signature in "(v1,|v1a,|v2,|[ ,=A-Za-z0-9+/]){0,30}") {
        let _ = SignatureHeaders::parse(Some("m"), Some("1"), Some(&signature));
        let _ = registry(AuthMode::Bearer).verify_bearer(Some(&signature));
    }
}
