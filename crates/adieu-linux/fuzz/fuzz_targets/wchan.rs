//! `cargo +nightly fuzz run wchan corpus/wchan seeds/wchan`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::words::parse_wchan(bytes);
});
