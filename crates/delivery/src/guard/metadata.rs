//! Clouds' metadata services, which hand a machine its credentials, by address and by name.
//!
//! Most are in ranges that operators open for machines of their own (link-local, unique local,
//! shared), and one is public. So each is refused on its own, whatever range or name is opened.
//! Sources: the documents named beside each entry, and the data sources of cloud-init (its
//! `doc/rtd/reference/datasources`). Clouds without an entry of their own use 169.254.169.254:
//! Baidu, DigitalOcean, Exoscale, Hetzner, Huawei, IBM, Nutanix, OVH, UpCloud, Vultr, Yandex.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4: [Ipv4Addr; 10] = [
    // AWS EC2 User Guide, "Access instance metadata"; Azure "Instance Metadata Service"; Google
    // Compute Engine "About VM metadata"; Oracle "Getting Instance Metadata"; OpenStack Nova
    // "Metadata service"
    Ipv4Addr::new(169, 254, 169, 254),
    // Google GKE, "Workload Identity Federation": the node's metadata server, port 988
    Ipv4Addr::new(169, 254, 169, 252),
    // AWS ECS Developer Guide, "Task IAM role": credentials
    Ipv4Addr::new(169, 254, 170, 2),
    // AWS EKS User Guide, "EKS Pod Identity Agent"
    Ipv4Addr::new(169, 254, 170, 23),
    // Tencent Cloud CVM, "Instance metadata" (metadata.tencentyun.com)
    Ipv4Addr::new(169, 254, 0, 23),
    // Scaleway, "Use the metadata API"; cloud-init "Scaleway"
    Ipv4Addr::new(169, 254, 42, 42),
    // Alibaba Cloud ECS, "Instance metadata"; cloud-init "AliYun"; in the shared range
    Ipv4Addr::new(100, 100, 100, 200),
    // Volcengine ECS, "Instance metadata"; in the shared range
    Ipv4Addr::new(100, 96, 0, 96),
    // Azure, "What is IP address 168.63.129.16": the platform's channel, a public address
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle Compute Cloud Classic, "Retrieving instance metadata"
    Ipv4Addr::new(192, 0, 0, 192),
];

const V6: [Ipv6Addr; 8] = [
    // AWS EC2 User Guide, "Access instance metadata"
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    // AWS EKS User Guide, "EKS Pod Identity Agent"
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    // Google Compute Engine, "Query VM metadata", IPv6-only instances
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    // Oracle Cloud Infrastructure SDKs, instance principals
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    // Scaleway, "Use the metadata API"; cloud-init "Scaleway"
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    // Akamai (Linode), "Metadata service"; cloud-init "Akamai"
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
    // Alibaba Cloud ECS, instances with IPv6 alone; cloud-init pull request 6893
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
    // OpenStack Nova, "Metadata service", since Victoria
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// Names, in lower case without a final dot, that lead to a metadata service wherever their cloud's
/// name servers answer, at whatever address.
const NAMES: [&str; 10] = [
    "metadata.google.internal",   // Google Compute Engine, "About VM metadata"
    "metadata.goog",              // the same
    "metadata",                   // the same, under the instance's search domain
    "instance-data",              // cloud-init "EC2"
    "instance-data.ec2.internal", // the same, under the instance's search domain
    "metadata.azure.internal",    // Azure, "Instance Metadata Service"
    "metadata.tencentyun.com",    // Tencent Cloud CVM, "Instance metadata"
    "api.metadata.cloud.ibm.com", // IBM VPC, "About the metadata service"
    "metadata.platformequinix.com", // Equinix Metal, "Metadata": a public address
    "data-server",                // cloud-init "CloudStack"
];

/// Whether a metadata service is at this canonical address (not an IPv4-mapped one).
pub(super) fn is_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => V4.contains(&address),
        IpAddr::V6(address) => V6.contains(&address),
    }
}

/// Whether this host of a URL is the name of a metadata service.
pub(super) fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
}
