//! One program with what is to be found about it: a folder with a `case.json`. See `examples/stubborn/README.md`.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::proc::descendants;
use crate::harness::{ADIEU, PYTHON, Process, Scene, Told, make_from, root, tool, until};

/// What `case.json` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[serde(skip)]
    pub(super) name: String,
    #[serde(skip)]
    folder: PathBuf,
    /// One sentence for people.
    pub(super) what: String,
    /// Makes what is needed in `$OUT`.
    build: Option<String>,
    /// Runs until it is killed; writes `target` and then `ready`.
    start: String,
    /// The target is the first child of what was started.
    #[serde(default)]
    child: bool,
    /// So many processes are below the target once it has begun.
    #[serde(default)]
    pub(super) below: usize,
    /// The signal that is asked about and sent.
    #[serde(default = "term")]
    pub(super) signal: String,
    /// A signal that is sent before anything is asked.
    pub(super) first: Option<String>,
    /// `adieu` runs as this user.
    #[serde(rename = "as")]
    user: Option<u32>,
    /// The first finding.
    pub(super) doctor: Option<String>,
    /// How `adieu stop` ends, and with which first finding where that is not the doctor's.
    #[serde(default)]
    pub(super) stop: i32,
    pub(super) why: Option<String>,
    /// How `adieu stop --force` ends after that.
    pub(super) forced: Option<i32>,
    /// So many processes go on.
    #[serde(default)]
    pub(super) left: usize,
    /// Undoes what would keep it from being killed.
    cleanup: Option<String>,
}

fn term() -> String {
    "TERM".to_owned()
}

/// All cases of a folder of `examples`.
pub(super) fn all(folder: &str) -> Vec<Case> {
    let place = root().join("examples").join(folder);
    let mut cases: Vec<Case> =
        fs::read_dir(&place).expect("the folder is there").flatten().filter_map(|entry| read(&entry.path())).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn read(folder: &Path) -> Option<Case> {
    let text = fs::read_to_string(folder.join("case.json")).ok()?;
    let mut case: Case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    case.name = folder.file_name().expect("a folder").to_string_lossy().into_owned();
    case.folder = folder.to_path_buf();
    Some(case)
}

/// A case that runs. Dropped, all of it is killed.
#[derive(Debug)]
pub(super) struct Running<'a> {
    case: &'a Case,
    process: Process,
    pub(super) scene: Scene,
    pub(super) target: Pid,
    variables: Vec<(&'static str, String)>,
}

impl Case {
    /// Builds it if need be, starts it, and waits until it is ready.
    pub(super) fn start(&self) -> Running<'_> {
        let scene = Scene::new();
        let unique = format!("adieu-{}-{}", self.name, scene.port());
        let out = match &self.build {
            Some(build) => make_from(&self.folder, &format!("cases/{}/built", self.name), |from, to| {
                let out = to.parent().expect("a file in a folder");
                fs::create_dir_all(out).expect("the build directory is writable");
                let examples = root().join("examples/servers");
                tool(
                    Command::new("sh")
                        .args(["-ec", build])
                        .env("SOURCE", from)
                        .env("OUT", out)
                        .env("EXAMPLES", examples),
                );
                fs::write(to, "").expect("the build directory is writable");
            }),
            None => scene.path("built"),
        };
        let text = |path: &Path| path.display().to_string();
        let variables = vec![
            ("SOURCE", text(&self.folder)),
            ("OUT", text(out.parent().expect("a file in a folder"))),
            ("EXAMPLES", text(&root().join("examples/servers"))),
            ("PORT", scene.port().to_string()),
            ("PYTHON", PYTHON.to_owned()),
            ("ADIEU", ADIEU.to_owned()),
            ("GROUP_V1", format!("/sys/fs/cgroup/freezer/{unique}")),
            ("GROUP_V2", format!("{}/{unique}", cgroup2())),
        ];
        let mut command = scene.command(&["sh", "-c", &self.start]);
        command.envs(variables.iter().cloned());
        let mut process = Process::start(&self.name, &command, scene.directory());
        until(&format!("{} is ready", self.name), || {
            if let Some(status) = process.ended() {
                panic!("{} ended with {status}:\n{}", self.name, process.output());
            }
            let has_child = self.child && !descendants(process.pid()).is_empty();
            scene.path("ready").exists() && (has_child || scene.read("target").trim().parse::<i32>().is_ok())
        });
        let target = if self.child {
            descendants(process.pid()).first().map(|(pid, _)| *pid)
        } else {
            scene.read("target").trim().parse().ok().and_then(Pid::from_raw)
        };
        let target = target.unwrap_or_else(|| panic!("{} has no target", self.name));
        Running { case: self, process, scene, target, variables }
    }
}

/// Where cgroups of version 2 are.
fn cgroup2() -> &'static str {
    let unified = "/sys/fs/cgroup/unified";
    if Path::new(unified).is_dir() { unified } else { "/sys/fs/cgroup" }
}

impl Running<'_> {
    /// `adieu WORDS`, as the user that the case names.
    pub(super) fn adieu(&self, words: &[&str]) -> Told {
        let mut command = match self.case.user {
            Some(user) => {
                let user = user.to_string();
                self.scene.command(&["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--", ADIEU])
            }
            None => self.scene.command(&[ADIEU]),
        };
        Told::of(command.args(words).current_dir("/"))
    }

    /// The findings of the doctor about a process, and whether it calls them alarming.
    pub(super) fn doctor(&self, pid: Pid) -> (Vec<Value>, bool) {
        let told = self.adieu(&["doctor", &pid.to_string(), "--signal", &self.case.signal, "--json"]);
        assert!(matches!(told.code, 0 | 1), "{}: {told:?}", self.case.name);
        (told.json()[0]["findings"].as_array().expect("findings").clone(), told.code == 1)
    }

    /// Everything below the target, held.
    pub(super) fn below_target(&self) -> Vec<(Pid, OwnedFd)> {
        descendants(self.target)
    }

    pub(super) fn output(&self) -> String {
        self.process.output()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(cleanup) = &self.case.cleanup {
            let mut shell = self.scene.command(&["sh", "-c", cleanup]);
            let done = shell.envs(self.variables.iter().cloned()).status();
            eprintln!("{}: cleaned up: {done:?}", self.case.name);
        }
        // What has been orphaned is nobody's child any more.
        for variable in ["GROUP_V1", "GROUP_V2"] {
            let group = self.variables.iter().find(|(name, _)| *name == variable).map(|(_, path)| path.clone());
            if let Some(group) = group.filter(|group| Path::new(group).is_dir()) {
                let procs = fs::read_to_string(format!("{group}/cgroup.procs")).unwrap_or_default();
                for pid in procs.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
                    let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                until("the cgroup is empty", || fs::remove_dir(&group).is_ok());
            }
        }
    }
}
