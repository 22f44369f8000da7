//! Files of `/proc` and of cgroups, read as a whole.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The bytes of such a file. Its length is not known before, and each `read(2)` may have the kernel make the
/// text anew, so a buffer that fits nearly all of them saves most of the cost.
pub(crate) fn read_whole(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    loop {
        let room = bytes.get_mut(length..).unwrap_or_default();
        match file.read(room) {
            Ok(0) => break,
            Ok(got) => length += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == bytes.len() {
            bytes.resize(length * 2, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// As [`read_whole`]; what is not UTF-8 replaced.
pub(crate) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_whole(path)?).into_owned())
}
