//! A new generation that fails: the old one serves on, nobody notices, and the command says why.

use std::os::unix::fs::PermissionsExt;

use super::{GOOD, server, service};
use crate::harness::crowd::Crowd;
use crate::harness::{Instance, PYTHON, Port, Told};

/// Reloads under a light load in a way that must fail; nobody may notice.
fn fails(service: &Instance, words: &[&str]) -> Told {
    let crowd = Crowd::at(service);
    let before = service.answers();
    let told = service.reload(words);
    crowd.ask_more();
    let ends = crowd.end();
    let account = || format!("{told:?}\n{ends:?}\n{}", service.account());
    assert_eq!(told.code, 7, "{}", account());
    assert!(ends.refused == 0 && ends.lost() == 0, "{}", account());
    assert_eq!(ends.answered.keys().copied().collect::<Vec<_>>(), [before], "{}", account());
    assert_eq!(service.answers(), before);
    told
}

/// A good reload after a failed one works, and what failed has left nothing.
fn works_again(service: Instance) {
    service.must_reload(&["--wait", "drained"]);
    let status = service.status_json();
    assert_eq!(status["generations"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(service.get("/env/FAULT").ok().as_deref(), Some("unset"));
    service.end();
}

#[test]
fn one_that_ends_before_it_is_ready() {
    let service = service().serving();
    let faults = [
        ("FAULT=exit:0", "exited with code 0"),
        ("FAULT=exit:3", "exited with code 3"),
        ("FAULT=kill:9", "was ended by SIGKILL"),
        ("FAULT=kill:11", "was ended by SIGSEGV"),
    ];
    for (fault, why) in faults {
        let told = fails(&service, &["--env", fault, "--env", "SAY=it goes wrong"]);
        assert!(told.error.contains(&format!("{why} before it was ready")), "{fault}: {told:?}");
        for output in ["  | it goes wrong on standard output", "  | it goes wrong on standard error"] {
            assert!(told.error.contains(output), "{fault}: {told:?}");
        }
    }
    works_again(service);
}

#[test]
fn one_that_minds_the_one_before_it_is_told_what_helps() {
    let service = service().serving();
    let advice = "a pid file or lock of its own ($ADIEU_GENERATION), or use --overlap no";
    for (says, minds) in [("SAY=server (pid 4711) already running", true), ("SAY=Address already in use", false)] {
        let told = fails(&service, &["--env", "FAULT=exit:1", "--env", says]);
        assert_eq!(told.error.contains(advice), minds, "{says}: {told:?}");
    }
    works_again(service);
}

#[test]
fn only_the_last_lines_of_much_output_are_shown() {
    let service = service().serving();
    let told = fails(&service, &["--", "/bin/sh", "-c", "seq 1 30000; exec >&-; echo the end >&2; exit 1"]);
    assert!(told.error.contains("  | 30000\n") && told.error.contains("  | the end\n"), "{told:?}");
    let lines = told.error.lines().filter(|line| line.starts_with("  | ")).count();
    assert!(lines <= 20, "{lines}");
    works_again(service);
}

#[test]
fn one_that_never_gets_ready() {
    let service = service().options(&["--ready-timeout", GOOD]).serving();
    let told = fails(&service, &["--env", "FAULT=never", "--env", "SAY=still waiting"]);
    assert!(told.error.contains("was not ready in time: it listens nowhere"), "{told:?}");
    assert!(told.error.contains("  | still waiting on standard output"), "{told:?}");
    works_again(service);
}

#[test]
fn one_that_listens_elsewhere() {
    let service = service().options(&["--ready-timeout", GOOD]).serving();
    let other = Port::claim();
    let told = fails(&service, &["--env", &format!("FAULT=elsewhere:{}", other.number())]);
    let (there, here) = (other.number(), service.port());
    let why = format!("it listens on 127.0.0.1:{there}, the one before it on 127.0.0.1:{here}");
    assert!(told.error.contains(&why), "{told:?}");
    works_again(service);
}

#[test]
fn one_that_does_not_say_that_it_is_ready_or_does_not_answer() {
    let nobody = Port::claim();
    let (url, address) = (format!("http://127.0.0.1:{}/x", nobody.number()), format!("127.0.0.1:{}", nobody.number()));
    let tcp = format!("tcp:{address}");
    let table = [
        ("notify", "it did not send READY=1".to_owned()),
        (&url, format!("{url} was not answered with a status from 200 to 399")),
        (&tcp, format!("it accepted no connection at {address}")),
        ("exec:false", "the command \"false\" did not end with 0".to_owned()),
    ];
    for (ready, why) in table {
        // The first generation may take as long as it wants: that it is not ready either does not matter.
        let service = service().options(&["--ready", ready, "--ready-timeout", "2s"]).serving();
        let told = fails(&service, &[]);
        assert!(told.error.contains(&format!("was not ready in time: {why}")), "{told:?}");
        service.end();
    }
}

/// What a command has said once it says again; another command may be of those that never do.
#[test]
fn one_that_does_not_say_what_the_same_command_said_before() {
    let service = service().env("TELLS", "1").options(&["--ready-timeout", GOOD]).serving();
    service.must_reload(&["--wait", "drained"]);
    let told = fails(&service, &["--unset", "TELLS"]);
    let why = "was not ready in time: it did not send READY=1, as the same command did before";
    assert!(told.error.contains(why), "{told:?}");
    service.must_reload(&["--wait", "drained", "--unset", "TELLS", "--", PYTHON, "-u", &server()]);
    works_again(service);
}

#[test]
fn one_that_cannot_be_executed() {
    let service = service().serving();
    let plain = service.scene.write("plain", "not a program");
    let broken = service.scene.write("broken", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let table = [
        ("no-such-program", "was not found in PATH"),
        ("/no/such/file", "was not found"),
        (&plain, "not executable"),
        ("/etc", "it is a directory"),
        (&broken, "it cannot be executed"),
    ];
    for (program, why) in table {
        let told = fails(&service, &["--", program]);
        assert!(told.error.contains(why), "{program}: {told:?}");
    }
    works_again(service);
}

/// The directory's path is followed anew for each generation: here it leads nowhere for a while.
#[test]
fn one_without_a_working_directory() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let (here, away) = (place.path().join("here"), place.path().join("away"));
    std::fs::create_dir(&here).expect("it is ours");
    let service = service().front(&["env", "-C", &here.display().to_string()]).serving();
    std::fs::rename(&here, &away).expect("it is ours");
    let told = fails(&service, &[]);
    assert!(told.error.contains("the working directory cannot be entered"), "{told:?}");
    std::fs::rename(&away, &here).expect("it is ours");
    works_again(service);
}
