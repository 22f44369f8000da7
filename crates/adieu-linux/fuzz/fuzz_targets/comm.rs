//! `cargo +nightly fuzz run comm corpus/comm seeds/comm`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::words::parse_comm(bytes);
});
