//! `cargo +nightly fuzz run stack corpus/stack seeds/stack`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::words::parse_stack(bytes);
});
