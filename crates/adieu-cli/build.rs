//! How the program is linked. `adieu run` starts and ends as often as what it runs, and most of its own start and end would be
//! the work of the dynamic loader and of unmapping libraries: so it takes what it needs of them along, where the machine that
//! builds has them as archives. The result is what `-C target-feature=+crt-static` makes, which cannot be the default of a
//! workspace with procedural macros. Whatever does not work here is left out, and the link is the usual one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// Thousands of addresses in tables of constants are set at the start of a program that may be loaded anywhere; packed, they
/// are a sixtieth of the size. Needs glibc 2.36.
const PACKED: &str = "-Wl,-z,pack-relative-relocs";

/// What rustc asks for in a dynamic link, as archives. Groups, because they need each other.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("gcc_s", &["gcc_eh", "gcc", "c"]),
    ("c", &["c", "gcc_eh", "gcc"]),
    ("m", &["m"]),
    ("util", &["util"]),
    ("rt", &["rt"]),
    ("pthread", &["pthread"]),
    ("dl", &["dl"]),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let set = |key: &str| env::var(key).unwrap_or_default();
    let gnu_linux = set("CARGO_CFG_TARGET_OS") == "linux" && set("CARGO_CFG_TARGET_ENV") == "gnu";
    // What a probe finds out is true for this machine alone.
    if !gnu_linux || set("HOST") != set("TARGET") {
        return;
    }
    let Some(directory) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    let mut arguments = Vec::new();
    if works(&directory, &[PACKED]) {
        arguments.push(PACKED.to_owned());
    }
    let is_static = set("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_static && let Some(place) = archives(&directory) {
        let all = [&arguments[..], &["-static-pie".to_owned(), format!("-L{}", place.display())]].concat();
        // The C compiler would look for archives by itself: like rustc it is told not to.
        let like_rustc: Vec<&str> = all.iter().map(String::as_str).chain(["-Wl,-Bdynamic", "-lgcc_s", "-lc"]).collect();
        if works(&directory, &like_rustc) {
            arguments = all;
        }
    }
    for argument in arguments {
        // For the program only: tests and other crates are linked as usual.
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

fn linker() -> Command {
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    Command::new(env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into()))
}

/// A directory in which `-lX` means the archive of `X`, even to a linker that prefers shared libraries.
fn archives(directory: &Path) -> Option<PathBuf> {
    let find = |library: &&str| {
        let output = linker().arg(format!("-print-file-name=lib{library}.a")).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        Path::new(&path).is_absolute().then_some(path)
    };
    let place = directory.join("archives");
    fs::create_dir_all(&place).ok()?;
    for (library, members) in LIBRARIES {
        let members: Option<Vec<String>> = members.iter().map(find).collect();
        fs::write(place.join(format!("lib{library}.so")), format!("GROUP ( {} )\n", members?.join(" "))).ok()?;
    }
    Some(place)
}

/// Whether a program that is linked so runs here, and can throw and catch as Rust's panics do.
fn works(directory: &Path, arguments: &[&str]) -> bool {
    let (source, program) = (directory.join("probe.c"), directory.join("probe"));
    let text = "void *_Unwind_FindEnclosingFunction(void *);\n\
                int main(void) { return _Unwind_FindEnclosingFunction((void *)1) != 0; }\n";
    let quiet = |command: &mut Command| {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    fs::write(&source, text).is_ok()
        && quiet(linker().args(["-fPIE", "-pie", "-o"]).arg(&program).arg(&source).args(arguments))
        && quiet(&mut Command::new(&program))
}
