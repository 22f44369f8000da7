//! `cargo +nightly fuzz run mounts corpus/mounts seeds/mounts`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::mounts::parse(bytes);
});
