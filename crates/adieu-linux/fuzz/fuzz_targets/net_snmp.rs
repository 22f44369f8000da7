//! `cargo +nightly fuzz run net_snmp corpus/net_snmp seeds/net_snmp`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::netns::parse::counters(bytes);
});
