//! Addresses at which a listener can be reached from here.

use super::super::ways::{reachable, ways, wildcard};
use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn a_wildcard_is_reached_through_loopback() {
    assert_eq!(reachable(at("0.0.0.0:80")), at("127.0.0.1:80"));
    assert_eq!(reachable(at("[::]:80")), at("[::1]:80"));
    for other in ["127.0.0.1:80", "192.0.2.1:80", "[::1]:80", "[2001:db8::1]:80"] {
        assert_eq!(reachable(at(other)), at(other));
    }
}

#[test]
fn what_is_local_can_be_reached_in_several_ways() {
    let aside = ["127.0.0.1:80", "[::1]:80", "127.83.117.1:80"].map(at);
    for (target, first) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("127.0.0.5:80", "127.0.0.5:80"),
        ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80"),
    ] {
        let mut expected = vec![at(first)];
        expected.extend(aside);
        assert_eq!(ways(at(target)), expected, "{target}");
    }
}

#[test]
fn another_address_can_be_reached_in_one_way() {
    assert_eq!(ways(at("192.0.2.1:80")), [at("192.0.2.1:80")]);
}

#[test]
fn the_wildcard_is_of_the_same_family() {
    assert_eq!(wildcard(at("127.0.0.1:80")), at("0.0.0.0:1").ip());
    assert_eq!(wildcard(at("[::1]:80")), at("[::]:1").ip());
}
