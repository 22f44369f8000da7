//! `cargo +nightly fuzz run locks corpus/locks seeds/locks`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::locks::parse(bytes);
});
