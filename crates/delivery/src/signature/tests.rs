//! Is exactly what was signed believed, and for how long?

use proptest::prelude::*;

use super::*;

/// The specification's own example.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn secrets(texts: &[&str]) -> Secrets {
    Secrets::parse(texts.iter().copied()).unwrap()
}

fn other() -> String {
    format!("whsec_{}", Base64::encode_string(&[7; 32]))
}

#[test]
fn the_specifications_example_holds() {
    let secrets = secrets(&[SECRET]);
    assert_eq!(secrets.sign(ID, AT, BODY), SIGNATURE);
    assert_eq!(
        secrets.verify(ID, &AT.to_string(), SIGNATURE, BODY, AT),
        Ok(())
    );
}

#[test]
fn whatever_is_changed_is_no_longer_believed() {
    let secrets = secrets(&[SECRET]);
    let at = AT.to_string();
    let later = (AT + 1).to_string();
    let verify = |id, at, told, body| secrets.verify(id, at, told, body, AT);
    let no = Err(SignatureFlaw::Signature);
    assert_eq!(verify("msg_q", &at, SIGNATURE, BODY), no);
    assert_eq!(verify(ID, &later, SIGNATURE, BODY), no);
    assert_eq!(verify(ID, &at, SIGNATURE, br#"{"test":2432232314}"#), no);
    for told in [
        "",
        "v1",
        "v1,",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
        "v1,g0hM9SsE+OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ] {
        assert_eq!(verify(ID, &at, told, BODY), no, "{told}");
    }
}

#[test]
fn a_timestamp_is_believed_for_five_minutes_either_way() {
    let secrets = secrets(&[SECRET]);
    let at = AT.to_string();
    let verdict = |at: &str, now| secrets.verify(ID, at, SIGNATURE, BODY, now);
    for now in [AT - 300, AT, AT + 300] {
        assert_eq!(verdict(&at, now), Ok(()));
    }
    for now in [0, AT - 301, AT + 301, u64::MAX] {
        assert_eq!(verdict(&at, now), Err(SignatureFlaw::Time));
    }
    let endless = "9".repeat(40);
    for at in [
        "",
        " 1",
        "+1614265330",
        "01614265330",
        "1.5",
        "-1",
        "1e9",
        &endless,
    ] {
        assert_eq!(verdict(at, AT), Err(SignatureFlaw::Timestamp), "{at}");
    }
}

#[test]
fn an_id_that_blurs_what_is_signed_is_refused() {
    let secrets = secrets(&[SECRET]);
    let long = "a".repeat(257);
    for id in ["", "a.b", "a b", "a\n", "号", &long] {
        let signed = secrets.sign(id, AT, BODY);
        let verdict = secrets.verify(id, &AT.to_string(), &signed, BODY, AT);
        assert_eq!(verdict, Err(SignatureFlaw::Id), "{id:?}");
    }
}

#[test]
fn while_secrets_change_either_of_them_is_enough_on_either_side() {
    let (old, new) = (secrets(&[SECRET]), secrets(&[&other()]));
    let both = secrets(&[&other(), SECRET]);
    let at = AT.to_string();
    let told = both.sign(ID, AT, BODY);
    assert_eq!(told, format!("{} {SIGNATURE}", new.sign(ID, AT, BODY)));
    for knows in [&old, &new, &both] {
        assert_eq!(knows.verify(ID, &at, &told, BODY, AT), Ok(()));
        let told = knows.sign(ID, AT, BODY);
        assert_eq!(both.verify(ID, &at, &told, BODY, AT), Ok(()));
    }
    assert_eq!(
        old.verify(ID, &at, &new.sign(ID, AT, BODY), BODY, AT),
        Err(SignatureFlaw::Signature)
    );
}

#[test]
fn each_flaw_of_a_secret_is_named_and_none_shows_it() {
    let sized = |bytes: usize| format!("whsec_{}", Base64::encode_string(&vec![1; bytes]));
    let table = [
        (String::new(), SecretFlaw::Prefix),
        (SECRET.replace("whsec_", ""), SecretFlaw::Prefix),
        (SECRET.replace('M', "!"), SecretFlaw::Encoding),
        ("whsec_".to_owned(), SecretFlaw::Length(0)),
        (sized(23), SecretFlaw::Length(23)),
        (sized(65), SecretFlaw::Length(65)),
    ];
    for (text, flaw) in table {
        assert_eq!(Secret::parse(&text).unwrap_err(), flaw, "{text}");
    }
    for bytes in [24, 25, 26, 64] {
        let text = sized(bytes);
        assert!(Secret::parse(&text).is_ok());
        assert!(
            Secret::parse(text.trim_end_matches('=')).is_ok(),
            "no padding"
        );
    }
    assert_eq!(Secrets::parse([]).unwrap_err(), SecretFlaw::Count(0));
    let three = Secrets::parse([SECRET; 3]).unwrap_err();
    assert_eq!(three, SecretFlaw::Count(3));
    assert_eq!(
        format!("{:?}", secrets(&[SECRET])),
        "Secrets([Secret(***)])"
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
        let secrets = secrets(&[SECRET]);
        let told = secrets.sign(&id, at, &body);
        prop_assert_eq!(secrets.verify(&id, &at.to_string(), &told, &body, at), Ok(()));
        let mut changed = body.clone();
        if !changed.is_empty() {
            let bit = bit.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
            let verdict = secrets.verify(&id, &at.to_string(), &told, &changed, at);
            prop_assert_eq!(verdict, Err(SignatureFlaw::Signature));
        }
    }

    #[test]
    fn no_header_brings_the_check_down_and_none_is_believed_by_chance(
        id in any::<String>(),
        at in any::<String>(),
        told in "((v1|v1a|v2|)[, =+/A-Za-z0-9]{0,60}|[\\PC]{0,80})",
        body in prop::collection::vec(any::<u8>(), 0..64),
        now in any::<u64>(),
    ) {
        prop_assert!(secrets(&[SECRET]).verify(&id, &at, &told, &body, now).is_err());
        prop_assert!(secrets(&[SECRET]).verify("id", "1", &told, &body, 1).is_err());
        let _ = Secret::parse(&format!("whsec_{told}"));
    }
}
