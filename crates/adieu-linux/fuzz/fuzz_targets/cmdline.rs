//! `cargo +nightly fuzz run cmdline corpus/cmdline seeds/cmdline`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::words::parse_cmdline(bytes);
});
