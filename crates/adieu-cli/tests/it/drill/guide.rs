//! docs/drill.md is true: its commands run, and it names every member of the report.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{ADIEU, PYTHON, Scene, Told, root, the_machine};

fn guide() -> String {
    std::fs::read_to_string(root().join("docs/drill.md")).expect("the guide is there")
}

/// Command lines of the guide that begin so.
fn commands(guide: &str, start: &str) -> Vec<String> {
    let mut inside = false;
    let lines = guide.lines().filter(|line| {
        inside = if line.starts_with("```") { line.ends_with("sh") } else { inside };
        inside
    });
    lines.filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

fn members(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                into.insert(name.clone());
                members(value, into);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_commands_of_the_guide_run_and_its_names_are_those_of_the_report() {
    let _alone = the_machine();
    let guide = guide();
    let scene = Scene::new();
    let here = |command: &str| command.replace(":8080", &format!(":{}", scene.port()));
    let server = root().join("examples/servers/python/plain.py").display().to_string();
    let _web = scene.run().name("web").options(&["--settle", "100ms"]).program(&[PYTHON, &server]).serving();
    scene.write("restart.sh", &format!("exec {ADIEU} reload web"));
    // The guide calls it by its name, as somebody does who has it installed.
    let path = format!("{}:{}", std::path::Path::new(ADIEU).parent().expect("a directory").display(), "/usr/bin:/bin");
    let commands = commands(&guide, "adieu drill");
    assert!(commands.len() >= 3, "{commands:?}");
    let mut reports = 0;
    for command in commands {
        let told = Told::of(scene.command(&["sh", "-c", &here(&command)]).env("PATH", &path));
        assert!(matches!(told.code, 0 | 1), "{command}: {told:?}");
        if command.contains("--json") && !command.contains('|') {
            let report = told.json();
            let mut names = BTreeSet::new();
            members(&report, &mut names);
            assert_eq!(report["restarts"][0]["replaced"], true, "{report:#}");
            let missing: Vec<&String> = names.iter().filter(|name| !guide.contains(&format!("`{name}`"))).collect();
            assert!(missing.is_empty(), "not in the guide: {missing:?}");
            reports += 1;
        }
    }
    assert!(reports > 0, "no command of the guide prints JSON");
}
