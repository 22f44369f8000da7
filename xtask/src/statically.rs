//! The binary for images `FROM scratch`: one file that needs no other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Failure, Outcome, cargo, step, target_dir};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds a static `adieu` in release mode and returns where it is.
pub(crate) fn build() -> Outcome<PathBuf> {
    let mut build = cargo(&["build", "--release", "--package", "adieu-cli", "--target", TARGET]);
    step(build.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let binary = target_dir().join(TARGET).join("release").join("adieu");
    if !is_static(&binary)? {
        return Err(Failure(format!("{} needs a dynamic loader", binary.display())));
    }
    println!("==> static: {} ({} kB)", binary.display(), fs::metadata(&binary)?.len() / 1024);
    Ok(binary)
}

/// Whether an ELF file of 64 bits runs without a dynamic loader: no program header asks for an interpreter.
pub(crate) fn is_static(file: &Path) -> Outcome<bool> {
    const PT_INTERP: u64 = 3;
    let bytes = fs::read(file).map_err(|e| Failure(format!("{}: {e}", file.display())))?;
    let number = |offset: usize, length: usize| -> Outcome<u64> {
        let field = bytes.get(offset..offset + length).ok_or_else(|| Failure("a cut-off ELF file".into()))?;
        Ok(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return Err(Failure(format!("{} is not a little-endian ELF file of 64 bits", file.display())));
    }
    let (table, size, count) = (number(0x20, 8)? as usize, number(0x36, 2)? as usize, number(0x38, 2)? as usize);
    for header in 0..count {
        if number(table + header * size, 4)? == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_dynamic_binary_from_a_static_one() {
        assert!(!is_static(Path::new("/bin/sh")).unwrap(), "Debian's sh is linked dynamically");
        assert!(is_static(Path::new("/bin/busybox")).expect("`cargo xtask test` installs busybox-static"));
    }

    #[test]
    fn refuses_what_is_no_elf_file() {
        assert!(is_static(Path::new("/etc/passwd")).is_err());
    }
}
