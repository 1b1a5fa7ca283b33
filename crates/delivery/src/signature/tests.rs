//! Exactly what was signed is accepted, by the specification and by our own check.

use proptest::prelude::*;

use super::*;
use crate::auth::SignatureHeaders;

/// The specification's example.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn other() -> String {
    Secret::text(&[7; 32])
}

fn signer(texts: &[&str]) -> Signer {
    Signer::parse(texts.iter().copied()).unwrap()
}

/// Whether a receiver that knows this secret accepts the message.
fn is_accepted(secret: &str, id: &str, at: u64, signature: &str, body: &[u8]) -> bool {
    let at = at.to_string();
    let headers = SignatureHeaders::parse(Some(id), Some(&at), Some(signature));
    let secret = Secret::parse(secret).unwrap();
    headers.is_ok_and(|headers| headers.is_signed_with(&secret, body))
}

#[test]
fn the_specifications_example_holds() {
    assert_eq!(signer(&[SECRET]).sign(ID, AT, BODY), SIGNATURE);
    assert!(is_accepted(SECRET, ID, AT, SIGNATURE, BODY));
}

#[test]
fn during_a_rotation_either_secret_accepts() {
    let (old, new) = (signer(&[SECRET]), signer(&[&other()]));
    let signature = signer(&[&other(), SECRET]).sign(ID, AT, BODY);
    let each = [new.sign(ID, AT, BODY), old.sign(ID, AT, BODY)];
    assert_eq!(signature, each.join(" "));
    assert!(is_accepted(SECRET, ID, AT, &signature, BODY));
    assert!(is_accepted(&other(), ID, AT, &signature, BODY));
    assert!(!is_accepted(SECRET, ID, AT, &each[0], BODY));
}

#[test]
fn one_or_two_secrets_are_accepted_and_none_is_shown() {
    assert_eq!(Signer::parse([]).unwrap_err(), SignerError::Count(0));
    let three = Signer::parse([SECRET; 3]).unwrap_err();
    assert_eq!(three, SignerError::Count(3));
    let bad = Signer::parse([SECRET, "whsec_!"]).unwrap_err();
    assert_eq!(bad, SignerError::Secret(SecretError::Form));
    let signer = signer(&[SECRET, SECRET]);
    let shown = format!("{signer:?} {three} {bad}");
    assert!(
        !shown.contains("MfKQ") && !shown.contains("49, 242"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn what_is_signed_is_accepted_and_one_changed_bit_is_not(
        id in "[!-\\-/-~]{1,40}",
        at in 0..u64::MAX,
        body in prop::collection::vec(any::<u8>(), 0..200),
        bit in any::<prop::sample::Index>(),
    ) {
        let signature = signer(&[SECRET]).sign(&id, at, &body);
        prop_assert!(is_accepted(SECRET, &id, at, &signature, &body));
        prop_assert!(!is_accepted(SECRET, &id, at ^ 1, &signature, &body));
        let mut changed = body;
        changed.push(0);
        prop_assert!(!is_accepted(SECRET, &id, at, &signature, &changed));
        changed.pop();
        if !changed.is_empty() {
            let bit = bit.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_accepted(SECRET, &id, at, &signature, &changed));
        }
    }

    #[test]
    fn no_header_causes_a_panic_and_none_is_accepted_by_chance(
        id in "([!-~]{1,8}|\\PC{0,8})",
        at in "([0-9]{1,24}|\\PC{0,8})",
        signature in "((v1|v1a|v2|)[, =+/A-Za-z0-9]{0,60}|\\PC{0,80})",
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let secret = Secret::parse(SECRET).unwrap();
        if let Ok(headers) = SignatureHeaders::parse(Some(&id), Some(&at), Some(&signature)) {
            prop_assert!(!headers.is_signed_with(&secret, &body));
            prop_assert!(!headers.id().contains('.'));
        }
        let _ = Secret::parse(&format!("whsec_{signature}"));
    }
}
