//! `cargo +nightly fuzz run frame corpus/frame seeds/frame`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::frame::find(bytes, 0x4000);
});
