//! How the program is linked: it starts and ends as often as what it runs, so its own start must cost little.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let set = |key: &str| env::var(key).unwrap_or_default();
    let gnu_linux = set("CARGO_CFG_TARGET_OS") == "linux" && set("CARGO_CFG_TARGET_ENV") == "gnu";
    let own_machine = env::var("HOST").is_ok_and(|host| env::var("TARGET").is_ok_and(|target| host == target));
    if !gnu_linux || !own_machine {
        return;
    }
    let Some(directory) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    // Thousands of addresses in tables of constants are set at the start of a program that may be loaded anywhere. Packed,
    // they are a sixtieth of the size. Needs glibc 2.36.
    let packed = "-Wl,-z,pack-relative-relocs";
    if works(&directory, &[packed]) {
        println!("cargo::rustc-link-arg-bins={packed}");
    }
    let is_static = set("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_static && let Some(archives) = unwinder() {
        // The unwinder for panics becomes part of the program, instead of a library to be looked for and mapped: rustc asks
        // for `gcc_s`, and finds this.
        let script = directory.join("lib").join("libgcc_s.so");
        let written = fs::create_dir_all(directory.join("lib")).and_then(|()| fs::write(&script, archives));
        let place = format!("-L{}", directory.join("lib").display());
        if written.is_ok() && works(&directory, &[&place, "-lgcc_s"]) {
            println!("cargo::rustc-link-search=native={}", directory.join("lib").display());
        }
    }
}

/// A linker script with GCC's static unwinder.
fn unwinder() -> Option<String> {
    let find = |name: &str| {
        let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        Path::new(&path).is_absolute().then_some(path)
    };
    Some(format!("GROUP ( {} {} )\n", find("libgcc_eh.a")?, find("libgcc.a")?))
}

/// Whether a program that is linked so runs here.
fn works(directory: &Path, arguments: &[&str]) -> bool {
    let (source, program) = (directory.join("probe.c"), directory.join("probe"));
    let text = "void *_Unwind_FindEnclosingFunction(void *); int main(void) { return _Unwind_FindEnclosingFunction((void *)1) != 0; }\n";
    let quiet = |command: &mut Command| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    fs::write(&source, text).is_ok()
        && quiet(Command::new("cc").arg("-pie").arg("-fPIE").arg("-o").arg(&program).arg(&source).args(arguments))
        && quiet(&mut Command::new(&program))
}
