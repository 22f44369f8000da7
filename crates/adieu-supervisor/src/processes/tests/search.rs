//! Where a program is looked for, and from which directory on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use adieu_core::outcome::{Outcome, code};

use super::super::launch::{self, LaunchError, Spec};
use super::*;
use crate::testing::{alone, alone_with};

fn file(path: &str, mode: u32) {
    fs::create_dir_all(Path::new(path).parent().expect("a directory")).expect("it can be made");
    fs::write(path, "#!/bin/sh\nexit 0\n").expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}

/// Which file is executed for `name`, with this PATH.
fn found(name: &str, path: Option<&str>) -> Result<String, LaunchError> {
    let environment = BTreeMap::from([("PATH".into(), path.map(OsString::from))]);
    let spec = Spec { command: vec![name.into()], environment };
    let resolved = launch::resolve(&spec, None, &[])?;
    Ok(resolved.path.into_string().expect("text"))
}

/// The code and the text of what keeps `name` from being executed.
fn refused(name: &str, path: Option<&str>) -> (i32, String) {
    let error = found(name, path).expect_err("it cannot be executed");
    (error.exit_code(), error.to_string())
}

#[test]
fn a_plain_name_is_the_first_that_can_be_executed_in_the_path() {
    drop(alone(|| {
        fs::create_dir_all("directory/tool").expect("a directory of that name");
        file("text/tool", 0o644);
        file("one/tool", 0o755);
        file("two/tool", 0o001);
        assert_eq!(found("tool", Some("none:directory:text:one:two")).expect("it is there"), "./one/tool");
        assert_eq!(found("tool", Some("two:one")).expect("it is there"), "./two/tool", "anybody's may be enough");
        assert_eq!(
            refused("tool", Some("text")),
            (code::NOT_EXECUTABLE, "\"./text/tool\" is not executable: chmod +x".to_owned())
        );
        assert_eq!(
            refused("tool", Some("directory:none")),
            (code::NOT_FOUND, "\"tool\" was not found in PATH".to_owned())
        );
        // As without one in a shell.
        assert!(found("sh", None).expect("there is a shell").ends_with("/bin/sh"));
    }));
}

#[test]
fn what_a_program_is_told_decides_before_what_a_reload_has_changed() {
    drop(alone(|| {
        file("one/tool", 0o755);
        file("two/tool", 0o755);
        let spec =
            Spec { command: vec!["tool".into()], environment: BTreeMap::from([("PATH".into(), Some("one".into()))]) };
        let extra = [("OTHER".into(), "one".into()), ("PATH".into(), "two".into())];
        let resolved = launch::resolve(&spec, None, &extra).expect("it is there");
        assert_eq!(resolved.path.as_c_str(), c"./two/tool");
        let paths: Vec<_> =
            resolved.environment.iter().filter(|entry| entry.to_bytes().starts_with(b"PATH=")).collect();
        assert!(paths.len() == 1 && paths[0].to_bytes() == b"PATH=two", "{paths:?}");
        let nul = launch::resolve(&spec, None, &[("A".into(), "a\0b".into())]).expect_err("it cannot be told");
        assert!(matches!(nul, LaunchError::Nul(_)) && nul.exit_code() == code::NOT_EXECUTABLE);
    }));
}

#[test]
fn a_name_with_a_slash_is_that_file() {
    drop(alone(|| {
        file("here/tool", 0o755);
        file("here/text", 0o644);
        assert_eq!(found("here/tool", Some("/nowhere")).expect("it is there"), "./here/tool");
        assert_eq!(refused("here/none", None), (code::NOT_FOUND, "\"here/none\" was not found".to_owned()));
        assert_eq!(refused("here/tool/x", None).0, code::NOT_FOUND);
        assert!(refused("./here", None).1.ends_with("is not executable: it is a directory"));
        let (code, text) = refused("here/text", None);
        assert_eq!(code, code::NOT_EXECUTABLE);
        assert!(text.ends_with("chmod +x, or name its interpreter"), "{text}");
        assert!(refused("", None).1.contains("the command is empty"));
        let none = Spec { command: Vec::new(), environment: BTreeMap::new() };
        assert_eq!(launch::resolve(&none, None, &[]).expect_err("there is none").exit_code(), code::NOT_FOUND);
    }));
}

#[test]
fn the_working_directory_is_the_path_that_led_to_it() {
    // The shortest other path to the same directory.
    drop(alone_with(&[("PWD", "{}/./")], || {
        let logical = launch::working_directory().expect("there is one");
        assert!(logical.as_os_str().to_str().is_some_and(|path| path.ends_with("/./")), "{logical:?}");
    }));
}

#[test]
fn a_path_that_leads_elsewhere_is_not_believed() {
    drop(alone_with(&[("PWD", "/")], || {
        assert_eq!(launch::working_directory(), std::env::current_dir().ok());
        assert_ne!(launch::working_directory(), Some(PathBuf::from("/")));
    }));
}

#[test]
fn a_path_that_is_not_whole_is_not_believed() {
    drop(alone_with(&[("PWD", ".")], || {
        assert_eq!(launch::working_directory(), std::env::current_dir().ok());
        assert!(launch::working_directory().is_some_and(|path| path.is_absolute()));
    }));
}

#[test]
fn a_directory_that_has_been_replaced_is_entered_by_the_next_generation() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), crate::testing::processes(&["./tool"]));
        let base = std::env::current_dir().expect("there is one");
        for release in ["one", "two"] {
            file(&format!("{release}/tool"), 0o755);
            fs::write(format!("{release}/tool"), "#!/bin/sh\npwd -P > ran\n").expect("a file");
        }
        processes.directory = Some(base.join("current"));
        for (generation, release) in [(FIRST, "one"), (SECOND, "two")] {
            drop(fs::remove_file("current"));
            symlink(release, "current").expect("a link");
            let main = start(&mut processes, &world, generation);
            assert_eq!(wait_for(&mut processes, main).0, Changed::Exited(0));
            assert_eq!(processes.outcome(generation), Some(Outcome::Exited(0)));
            let ran = fs::read_to_string(format!("{release}/ran")).expect("it was written");
            assert!(ran.trim_end().ends_with(&format!("/{release}")), "{ran}");
        }
    }));
}
