//! `/proc/self/mountinfo`: where file systems are mounted (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory of the file system that is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The kind of file system.
    pub kind: String,
    /// The options of the file system itself; for cgroup v1 its controllers.
    pub options: Vec<String>,
}

/// Parses the file; lines of another form are passed over.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Mount> {
    bytes.split(|b| *b == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|b| *b == b' ');
    let (root, point) = (words.nth(3)?, words.next()?);
    words.find(|word| *word == b"-")?;
    let kind = String::from_utf8_lossy(words.next()?).into_owned();
    let options = String::from_utf8_lossy(words.nth(1)?).split(',').map(str::to_owned).collect();
    Some(Mount { root: unescape(root), point: unescape(point), kind, options })
}

/// Space, tab, newline and backslash are written as `\040` and so on.
fn unescape(word: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { rest.get(4..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(plain).into()
}

/// The mounts that this process sees; empty without `/proc`.
#[must_use]
pub fn ours() -> Vec<Mount> {
    crate::whole::read_whole("/proc/self/mountinfo").map(|bytes| parse(&bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_optional_fields() {
        let text = b"25 1 0:23 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer\n\
                     30 1 0:30 /a\\040b /m\\134n rw - tmpfs none rw,size=1k\nnonsense\n31 1 0:1 / /x rw shared:1\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].kind.as_str(), &mounts[0].options[1][..]), ("cgroup", "freezer"));
        assert_eq!((mounts[1].root.to_str(), mounts[1].point.to_str()), (Some("/a b"), Some("/m\\n")));
    }

    #[test]
    fn proc_itself_is_mounted() {
        assert!(ours().iter().any(|mount| mount.kind == "proc"));
    }
}
