//! Is exactly what was signed believed, by the specification and by our own check?

use proptest::prelude::*;

use super::*;
use crate::callers::Signed;

/// The specification's own example.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn other() -> String {
    Secret::text(&[7; 32])
}

fn signing(texts: &[&str]) -> Signing {
    Signing::parse(texts.iter().copied()).unwrap()
}

/// Whether one who knows this secret believes the message.
fn believed(secret: &str, id: &str, at: u64, told: &str, body: &[u8]) -> bool {
    let at = at.to_string();
    let signed = Signed::read(Some(id), Some(&at), Some(told));
    let secret = Secret::parse(secret).unwrap();
    signed.is_some_and(|signed| signed.made_with(&secret, body))
}

#[test]
fn the_specifications_example_holds() {
    assert_eq!(signing(&[SECRET]).sign(ID, AT, BODY), SIGNATURE);
    assert!(believed(SECRET, ID, AT, SIGNATURE, BODY));
}

#[test]
fn while_secrets_change_who_knows_either_of_them_believes() {
    let (old, new) = (signing(&[SECRET]), signing(&[&other()]));
    let told = signing(&[&other(), SECRET]).sign(ID, AT, BODY);
    let each = [new.sign(ID, AT, BODY), old.sign(ID, AT, BODY)];
    assert_eq!(told, each.join(" "));
    assert!(believed(SECRET, ID, AT, &told, BODY));
    assert!(believed(&other(), ID, AT, &told, BODY));
    assert!(!believed(SECRET, ID, AT, &each[0], BODY));
}

#[test]
fn one_or_two_secrets_are_taken_and_none_is_shown() {
    assert_eq!(Signing::parse([]).unwrap_err(), SigningFlaw::Count(0));
    let three = Signing::parse([SECRET; 3]).unwrap_err();
    assert_eq!(three, SigningFlaw::Count(3));
    let bad = Signing::parse([SECRET, "whsec_!"]).unwrap_err();
    assert_eq!(bad, SigningFlaw::Secret(SecretFlaw::Form));
    let signing = signing(&[SECRET, SECRET]);
    let shown = format!("{signing:?} {three} {bad}");
    assert!(
        !shown.contains("MfKQ") && !shown.contains("49, 242"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn what_is_signed_is_believed_and_one_changed_bit_is_not(
        id in "[!-\\-/-~]{1,40}",
        at in 0..u64::MAX,
        body in prop::collection::vec(any::<u8>(), 0..200),
        bit in any::<prop::sample::Index>(),
    ) {
        let told = signing(&[SECRET]).sign(&id, at, &body);
        prop_assert!(believed(SECRET, &id, at, &told, &body));
        prop_assert!(!believed(SECRET, &id, at ^ 1, &told, &body));
        let mut changed = body;
        changed.push(0);
        prop_assert!(!believed(SECRET, &id, at, &told, &changed));
        changed.pop();
        if !changed.is_empty() {
            let bit = bit.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!believed(SECRET, &id, at, &told, &changed));
        }
    }

    #[test]
    fn no_header_brings_the_check_down_and_none_is_believed_by_chance(
        id in "([!-~]{1,8}|\\PC{0,8})",
        at in "([0-9]{1,24}|\\PC{0,8})",
        told in "((v1|v1a|v2|)[, =+/A-Za-z0-9]{0,60}|\\PC{0,80})",
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let secret = Secret::parse(SECRET).unwrap();
        if let Some(signed) = Signed::read(Some(&id), Some(&at), Some(&told)) {
            prop_assert!(!signed.made_with(&secret, &body));
            prop_assert!(!signed.id().contains('.'));
        }
        let _ = Secret::parse(&format!("whsec_{told}"));
    }
}
