//! Programs that cannot be started, and programs that are started again.

use std::time::{Duration, Instant};

use super::{MODES, run};
use crate::harness::{Scene, until};

#[test]
fn what_cannot_be_started_has_the_codes_of_a_shell() {
    for mode in MODES {
        let scene = Scene::new();
        let plain = scene.write("plain", "not a program");
        let broken = scene.write("broken", "#!/no/such/interpreter\n");
        let script = scene.write("script", "exit 9\n");
        let binary = scene.write("binary", "\x7fELF\x02\x01\0\0 and nothing more");
        for file in [&broken, &script, &binary] {
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(file, executable).expect("it is ours");
        }
        let table: [(&str, i32, &str); 7] = [
            ("no-such-program", 127, "was not found"),
            ("/no/such/file", 127, "was not found"),
            (&plain, 126, "not executable"),
            ("/etc", 126, "directory"),
            (&broken, 127, "cannot be executed"),
            (&binary, 126, "cannot be executed"),
            // As execvp(3) does it.
            (&script, 9, ""),
        ];
        for (program, code, why) in table {
            let mut init = run(&scene, mode).options(&["--restart", "never"]).program(&[program]).start();
            assert_eq!(init.wait(), code, "{mode}: {program}: {}", init.output());
            assert!(init.output().contains(why), "{mode}: {program}: {}", init.output());
        }
    }
}

#[test]
fn restarts_are_as_asked_for() {
    for mode in MODES {
        // Policy, code of the first life, whether there is a second.
        for (policy, code, again) in [
            ("never", 1, false),
            ("never", 0, false),
            ("on-failure", 1, true),
            ("on-failure", 0, false),
            ("always", 0, true),
        ] {
            let scene = Scene::new();
            let script = format!("echo life >> lives; [ $ADIEU_GENERATION = 2 ] && exec sleep 1000; exit {code}");
            let mut init = run(&scene, mode).options(&["--restart", policy]).program(&["sh", "-c", &script]).start();
            if again {
                scene.wait_for("lives", 2);
                init.find("sleep 1000");
                assert_eq!(init.terminate(), 143, "{mode} {policy}");
            } else {
                assert_eq!(init.wait(), code, "{mode} {policy}");
            }
            assert_eq!(scene.read("lives").lines().count(), if again { 2 } else { 1 }, "{mode} {policy}");
        }
    }
}

#[test]
fn a_program_that_keeps_dying_is_started_ever_less_often_and_can_be_stopped_meanwhile() {
    for mode in MODES {
        let scene = Scene::new();
        let began = Instant::now();
        let script = "echo life >> lives; kill -KILL $$";
        let mut init = run(&scene, mode).options(&["--restart", "on-failure"]).program(&["sh", "-c", script]).start();
        scene.wait_for("lives", 6);
        // 0.1, 0.2, 0.4, 0.8 and 1.6 s lie between them, and 3.2 s are to come, in which it is stopped.
        assert!(began.elapsed() >= Duration::from_millis(3090), "{mode}: {:?}", began.elapsed());
        // A zombie is not known to be gone before it is reaped: a stop would still be that of the sixth.
        until("the sixth is known to be gone", || init.output().contains("generation 6 is gone"));
        until("its keeper is gone too", || init.tree().is_empty());
        let code = init.terminate();
        assert_eq!(code, 0, "{mode}: nothing ran that could have failed to stop");
    }
}
