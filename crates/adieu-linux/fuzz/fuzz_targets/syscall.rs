//! `cargo +nightly fuzz run syscall corpus/syscall seeds/syscall`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::syscall::parse(bytes);
});
