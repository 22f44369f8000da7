//! `cargo +nightly fuzz run cgroup corpus/cgroup seeds/cgroup`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::cgroup::parse(bytes);
});
