//! The IPv4 addresses that an IPv6 address carries: a translator or a tunnel on the way, or the
//! machine itself, may send a packet on to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// RFC 6052, the well-known prefix of NAT64.
pub(super) const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// RFC 8215, for NAT64 inside a network.
pub(super) const LOCAL_NAT64: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48);
/// RFC 4291, IPv4-compatible addresses.
pub(super) const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 96);
/// RFC 2765, IPv4-translated addresses.
pub(super) const TRANSLATED: Ipv6Net = v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96);
/// RFC 3056.
pub(super) const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
/// RFC 4380.
pub(super) const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32);

/// Prefix lengths of RFC 6052, section 2.2, inside [`LOCAL_NAT64`], and where the IPv4 address
/// stands behind each. Byte 8 is left free.
const LOCAL_NAT64_FORMS: [(u8, [usize; 4]); 4] = [
    (48, [6, 7, 9, 10]),
    (56, [7, 9, 10, 11]),
    (64, [9, 10, 11, 12]),
    (96, [12, 13, 14, 15]),
];

/// The longest of them.
const LONGEST_NAT64_PREFIX: u8 = 96;

/// The IPv4 addresses that this address carries, in every form that it has.
///
/// `fixed` is the prefix length of the rule that opens the address, 0 for a name. How much of
/// 64:ff9b:1::/48 a network gives to its translator is unknown: each form counts whose prefix is at
/// least that long, since a shorter one would put bits that the rule fixes into the IPv4 address.
/// Forms that read as 0.0.0.0/8 are left out if another does not: behind a shorter prefix than the
/// real one are zeros.
pub(super) fn carried(address: IpAddr, fixed: u8) -> Vec<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return Vec::new();
    };
    let [_, s1, s2, s3, _, _, s6, s7] = address.segments();
    let is_own_form = COMPATIBLE.contains(&address)
        && !address.is_unspecified()
        && address != Ipv6Addr::LOCALHOST;
    let mut carried = Vec::new();
    if is_own_form
        || TRANSLATED.contains(&address)
        || NAT64.contains(&address)
        || is_isatap(address)
    {
        carried.push(from_segments(s6, s7));
    }
    if SIX_TO_FOUR.contains(&address) {
        carried.push(from_segments(s1, s2));
    }
    if TEREDO.contains(&address) {
        // The server, and the client behind its NAT, whose address is inverted.
        carried.push(from_segments(s2, s3));
        carried.push(from_segments(!s6, !s7));
    }
    if LOCAL_NAT64.contains(&address) {
        carried.extend(carried_by_local_nat64(address, fixed));
    }
    carried
}

fn carried_by_local_nat64(address: Ipv6Addr, fixed: u8) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let forms = LOCAL_NAT64_FORMS
        .iter()
        .filter(|(prefix, _)| *prefix >= fixed.min(LONGEST_NAT64_PREFIX))
        .map(|(_, places)| Ipv4Addr::from(places.map(|place| octets[place])));
    let forms: Vec<Ipv4Addr> = forms.collect();
    let is_blank = |form: &Ipv4Addr| form.octets()[0] == 0;
    match forms.iter().all(is_blank) {
        true => forms,
        false => forms.into_iter().filter(|form| !is_blank(form)).collect(),
    }
}

fn from_segments(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

/// Whether the interface identifier is ISATAP's, `[02]00:5efe:a.b.c.d` (RFC 5214), which routers
/// convert to IPv4 under any prefix.
pub(super) fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x0200, 0x5efe, _, _])
}

pub(super) const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}
