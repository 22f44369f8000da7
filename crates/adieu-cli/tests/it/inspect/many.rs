//! `adieu doctor --all` over thousands of processes, beside `ps` and `lsof`.

use serde_json::Value;

use crate::harness::{ADIEU, PYTHON, Process, Scene, count, until};

/// Forks so many children that do nothing, and then measures commands one after the other: a line of JSON for each, with
/// its processor time and its greatest memory.
const MEASURE: &str = r#"
import json, os, resource, signal, subprocess, sys
children = []
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    children.append(child)
for command in json.loads(sys.argv[2]):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(child, 0)
    lines = open("out", "rb").read().count(b"\n")
    print(json.dumps({"command": command, "status": status, "lines": lines, "seconds": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss}), flush=True)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print("{}", flush=True)
"#;

#[test]
fn a_table_of_thousands_takes_little_time_and_memory() {
    let many = count(1_000, 5_000);
    let scene = Scene::new();
    let commands = serde_json::json!([[ADIEU, "doctor", "--all"], ["ps", "-ef"], ["lsof", "-n", "-P"]]).to_string();
    let command = scene.command(&[PYTHON, "-c", MEASURE, &many.to_string(), &commands]);
    let process = Process::start("measure", &command, scene.directory());
    until("all commands have run", || process.output().ends_with("{}\n"));
    let output = process.output();
    println!("{output}");
    let rows: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let (ours, ps) = (&rows[0], &rows[1]);
    assert_eq!(ours["status"], 0, "{output}");
    assert!(ours["lines"].as_u64() > Some(many as u64), "{output}");
    // Processor time, beside that of `ps` on the same machine in the same moment; this is not even an optimized build.
    let seconds = |row: &Value| row["seconds"].as_f64().expect("a number");
    assert!(seconds(ours) < 10.0 * seconds(ps), "{output}");
    let kib = |row: &Value| row["kib"].as_u64().expect("a number");
    assert!(kib(ours) < kib(ps) + 32 * 1024, "{output}");
}
