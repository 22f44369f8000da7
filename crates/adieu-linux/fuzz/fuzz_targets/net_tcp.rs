//! `cargo +nightly fuzz run net_tcp corpus/net_tcp seeds/net_tcp`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::netns::parse::table(bytes);
});
