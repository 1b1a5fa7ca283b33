//! No spelling or embedding of a forbidden address passes the guard.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;

use super::HOST;
use super::*;
use ipnet::Ipv4Net;

/// Forbidden IPv4 ranges, written down separately from the guard's table.
const FORBIDDEN: &[(u32, u32)] = &[
    (0x0000_0000, 0x00ff_ffff),
    (0x0a00_0000, 0x0aff_ffff),
    (0x6440_0000, 0x647f_ffff),
    (0x7f00_0000, 0x7fff_ffff),
    (0xa83f_8110, 0xa83f_8110),
    (0xa9fe_0000, 0xa9fe_ffff),
    (0xac10_0000, 0xac1f_ffff),
    (0xc000_0000, 0xc000_00ff),
    (0xc000_0200, 0xc000_02ff),
    (0xc0a8_0000, 0xc0a8_ffff),
    (0xc612_0000, 0xc613_ffff),
    (0xc633_6400, 0xc633_64ff),
    (0xcb00_7100, 0xcb00_71ff),
    (0xe000_0000, 0xffff_ffff),
];

/// Metadata services, written down separately from the guard's table.
const METADATA: &[[u8; 4]] = &[
    [169, 254, 169, 254],
    [169, 254, 169, 252],
    [169, 254, 170, 2],
    [169, 254, 170, 23],
    [169, 254, 0, 23],
    [169, 254, 42, 42],
    [100, 100, 100, 200],
    [100, 96, 0, 96],
    [168, 63, 129, 16],
    [192, 0, 0, 192],
];

fn forbidden_v4() -> impl Strategy<Value = Ipv4Addr> {
    select(FORBIDDEN)
        .prop_flat_map(|(first, last)| first..=last)
        .prop_map(Ipv4Addr::from)
}

/// The spellings of an IPv4 address in a URL's host.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let number = u32::from(address);
    let [a, b, c, d] = address.octets();
    let dotted = address.to_string();
    let digits = |zero: u32| -> String {
        let wide = |digit: char| {
            digit
                .to_digit(10)
                .and_then(|value| char::from_u32(zero + value))
                .unwrap_or(digit)
        };
        dotted.chars().map(wide).collect()
    };
    vec![
        dotted.clone(),
        format!("{dotted}."),
        number.to_string(),
        format!("{number:#x}"),
        format!("0X{number:X}"),
        format!("0{number:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.{b}.{c:#x}.0{d:o}"),
        format!("{a}.{}", number & 0x00ff_ffff),
        format!("{a}.{b}.{}", number & 0xffff),
        format!("{a}.{:#x}", number & 0x00ff_ffff),
        digits(0xff10),  // fullwidth
        digits(0x1d7ce), // mathematical bold
        dotted.replace('.', "\u{3002}"),
        dotted
            .chars()
            .map(|sign| format!("%{:02x}", u32::from(sign)))
            .collect(),
        format!("[::ffff:{dotted}]"),
        format!("[0:0:0:0:0:FFFF:{:x}:{:x}]", number >> 16, number & 0xffff),
    ]
}

/// The embeddings of an IPv4 address in IPv6 that some router or host unpacks, except the mapped
/// one.
fn embeddings(address: Ipv4Addr, filling: u64) -> Vec<Ipv6Addr> {
    let number = u128::from(u32::from(address));
    let [a, b, c, d] = address.octets();
    let filling = u128::from(filling);
    let mut local_nat64 = [0_u8; 16];
    local_nat64[..6].copy_from_slice(&[0x00, 0x64, 0xff, 0x9b, 0x00, 0x01]);
    // RFC 6052, prefixes of 48, 56 and 64 bits: byte 8 is left free.
    let local_nat64 = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]].map(|places| {
        let mut octets = local_nat64;
        for (place, octet) in places.into_iter().zip([a, b, c, d]) {
            octets[place] = octet;
        }
        u128::from_be_bytes(octets)
    });
    [
        number,
        0xffff << 48 | number,
        0x0064_ff9b << 96 | number,
        0x0064_ff9b_0001 << 80 | number,
        local_nat64[0],
        local_nat64[1],
        local_nat64[2],
        // What stands behind the address is not looked at.
        local_nat64[0] | filling & 0xffff_ffff,
        0x2002 << 112 | number << 80 | filling,
        0x2001_0000 << 96 | number << 64 | filling,
        0x2001_0000 << 96 | filling << 32 | (number ^ 0xffff_ffff),
        (0x2606_4700 << 96 | (filling & 0xffff_ffff) << 64) | 0x5efe << 32 | number,
        (0x2606_4700 << 96 | (filling & 0xffff_ffff) << 64) | 0x0200_5efe << 32 | number,
        0xfe80 << 112 | 0x5efe << 32 | number,
    ]
    .map(Ipv6Addr::from)
    .to_vec()
}

/// What the standard library knows not to be public; the guard must know at least that.
fn is_known_not_to_be_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || v4.octets()[0] == 0
                || v4.octets()[0] >= 240
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 != 0x2000 || v6.segments()[0] == 0x2002,
    }
}

proptest! {
    #[test]
    fn no_spelling_of_a_forbidden_address_is_admitted(address in forbidden_v4()) {
        for host in spellings(address) {
            let text = format!("http://{host}/x");
            let url = TargetUrl::parse(&text);
            prop_assert!(url.is_ok(), "{text}: {url:?}");
            if let Ok(url) = url {
                let literal = url.literal().map(|found| found.to_canonical());
                prop_assert_eq!(literal, Some(address.into()), "{}", text);
                prop_assert!(Guard::closed().admit_url(&url).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn no_embedding_of_a_forbidden_address_is_admitted_even_if_all_ipv4_is_allowed(
        address in forbidden_v4(),
        filling in any::<u64>(),
    ) {
        let everything = Guard::new(vec!["0.0.0.0/0".parse().unwrap()]);
        for embedded in embeddings(address, filling) {
            prop_assert!(Guard::closed().admit(HOST, embedded.into()).is_err(), "{embedded}");
            prop_assert!(everything.admit(HOST, embedded.into()).is_err(), "{embedded}");
            let url = TargetUrl::parse(&format!("https://[{embedded}]:8443/")).unwrap();
            prop_assert_eq!(url.literal(), Some(IpAddr::from(embedded).to_canonical()));
            prop_assert!(everything.admit_url(&url).is_err(), "{embedded}");
        }
    }

    #[test]
    fn no_embedding_of_a_forbidden_address_is_admitted_even_if_all_ipv6_is_allowed(
        address in forbidden_v4(),
        filling in any::<u64>(),
    ) {
        // Behind a translator 0.0.0.0/8 leads nowhere, and ::1 and :: are addresses of their own.
        prop_assume!(address.octets()[0] != 0);
        let everything = Guard::new(vec!["::/0".parse().unwrap()]);
        for embedded in embeddings(address, filling) {
            prop_assert!(everything.admit(HOST, embedded.into()).is_err(), "{embedded}");
            let url = TargetUrl::parse(&format!("https://[{embedded}]:8443/")).unwrap();
            prop_assert!(everything.admit_url(&url).is_err(), "{embedded}");
        }
    }

    #[test]
    fn no_embedding_of_a_metadata_service_is_admitted_whatever_ranges_and_names_are_allowed(
        address in select(METADATA),
        filling in any::<u64>(),
    ) {
        let rules = ["0.0.0.0/0", "::/0", HOST, "*.example"];
        let everything = Guard::new(rules.map(|rule| rule.parse().unwrap()).to_vec());
        for embedded in embeddings(Ipv4Addr::from(address), filling) {
            let refused = everything.admit(HOST, embedded.into());
            prop_assert_eq!(refused, Err(Metadata), "{}", embedded);
        }
    }

    #[test]
    fn the_mapped_spelling_is_judged_as_the_address_that_it_is(number in any::<u32>()) {
        let address = Ipv4Addr::from(number);
        for guard in [Guard::closed(), Guard::new(vec!["10.0.0.0/8".parse().unwrap()])] {
            let mapped = guard.admit(HOST, address.to_ipv6_mapped().into());
            prop_assert_eq!(mapped, guard.admit(HOST, address.into()));
        }
    }

    #[test]
    fn no_admitted_address_is_known_not_to_be_public(
        v4 in any::<u32>(),
        v6 in any::<u128>(),
        global in 0x2000_u128..0x4000,
    ) {
        let v6_global = Ipv6Addr::from(global << 112 | v6 >> 16);
        let addresses =
            [IpAddr::from(Ipv4Addr::from(v4)), Ipv6Addr::from(v6).into(), v6_global.into()];
        for address in addresses {
            if Guard::closed().admit(HOST, address).is_ok() {
                prop_assert!(!is_known_not_to_be_public(address), "{address}");
            }
        }
    }

    #[test]
    fn a_rule_never_refuses_anything(v4 in any::<u32>(), prefix in 0_u8..=32, net in any::<u32>()) {
        let net = Ipv4Net::new(net.into(), prefix).unwrap();
        let opened = Guard::new(vec![AddressRule::Net(net.into())]);
        let address = Ipv4Addr::from(v4);
        if Guard::closed().admit(HOST, address.into()).is_ok() {
            prop_assert_eq!(opened.admit(HOST, address.into()), Ok(()));
        } else if opened.admit(HOST, address.into()).is_ok() {
            prop_assert!(net.contains(&address), "{net} allowed {address}");
        }
    }
}
