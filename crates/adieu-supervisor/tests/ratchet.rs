//! The rules that keep the supervisor in parts, checked on its sources: what was taken apart stays apart.
//!
//! Each rule is a function from sources to what breaks it, so that each is shown to find what it is for.

use std::fs;
use std::path::Path;

/// So many lines can be read at once.
const MOST_LINES: usize = 400;
/// The parts, and the two leaves of the root.
const MOST_FIELDS: usize = 12;

/// Where parts keep what they know.
const PARTS: [&str; 8] = [
    "src/journal/",
    "src/processes/",
    "src/sockets/",
    "src/readiness/",
    "src/connections/",
    "src/control/",
    "src/hooks.rs",
    "src/systemd.rs",
];

/// Plain values, which have no invariant to keep: what a part is asked, and what it answers.
const PLAIN: [(&str, &str); 4] = [
    ("Start", "the question: with what a generation is to be started"),
    ("Change", "the question: what a reload asks to be different"),
    ("TreeEnd", "the answer: what was known of a generation that is gone"),
    ("Found", "the answer: what a turn of the sockets has found"),
];

/// Whom a part must not know. The supervisor asks all of them; what one needs of another it is lent in a call.
const STRANGERS: [(&str, &[&str]); 8] = [
    ("src/sockets/", &["supervisor", "processes", "connections", "readiness", "control"]),
    (
        "src/processes/",
        &["supervisor", "sockets", "connections", "readiness", "control", "hooks", "journal", "systemd"],
    ),
    ("src/connections/", &["supervisor", "readiness", "control", "hooks"]),
    ("src/readiness/", &["supervisor", "connections", "control"]),
    ("src/control/", &["supervisor"]),
    ("src/hooks.rs", &["supervisor"]),
    ("src/journal/", &["supervisor"]),
    ("src/systemd.rs", &["supervisor"]),
];

/// A file of this crate.
struct File {
    /// From the crate's directory on.
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_in(&self, place: &str) -> bool {
        self.path.starts_with(place)
            || place.strip_suffix(".rs").is_some_and(|stem| self.path.starts_with(&format!("{stem}/")))
    }

    fn is_test(&self) -> bool {
        self.path.contains("tests/") || self.path.ends_with("/tests.rs") || self.path.starts_with("src/testing")
    }

    /// The lines of the product with their numbers: no comments, no tests.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = if self.is_test() { Some(0) } else { self.text.find("#[cfg(test)]\nmod tests {") };
        let code = &self.text[..tests.unwrap_or(self.text.len())];
        let lines = (1..).zip(code.lines()).map(|(number, line)| (number, line.split("//").next().unwrap_or_default()));
        lines.filter(|(_, line)| !line.trim().is_empty())
    }

    fn code(&self) -> String {
        self.lines().map(|(_, line)| format!("{line}\n")).collect()
    }

    /// How deep below the root of the crate its module is.
    fn depth(&self) -> usize {
        let module = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        module.split('/').count()
    }

    /// The modules of the root that it names, by `crate::`, `crate::{...}` or so many `super::`.
    fn names(&self) -> Vec<String> {
        let code = self.code();
        let root = "super::".repeat(self.depth());
        let mut names = Vec::new();
        for prefix in ["crate::", root.as_str()] {
            for (at, _) in code.match_indices(prefix) {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                    continue;
                }
                names.extend(heads(&code[at + prefix.len()..]));
            }
        }
        names
    }
}

/// The first names of `a::b`, or of each in `{a::{b, c}, d}`.
fn heads(rest: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut found, mut depth) = (vec![word(group)], 1);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => found.push(word(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// All sources of this crate.
fn sources() -> Vec<File> {
    fn walk(base: &Path, directory: &Path, found: &mut Vec<File>) {
        for entry in fs::read_dir(directory).expect("a directory of this crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(base, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(base).expect("below").to_str().expect("text");
                found.push(File::new(relative, &fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in ["src", "tests"] {
        walk(base, &base.join(directory), &mut found);
    }
    assert!(found.iter().any(|file| file.path == "src/supervisor/mod.rs"), "the sources are not where they were");
    found
}

/// Lines of the product, outside of `place`, of which `is_bad` holds.
fn outside(files: &[File], place: &str, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.is_in(place)) {
        found.extend(
            file.lines().filter(|(_, line)| is_bad(line)).map(|(at, line)| format!("{}:{at}: {line}", file.path)),
        );
    }
    found
}

fn supervisors_elsewhere(files: &[File]) -> Vec<String> {
    let is_impl = |line: &str| {
        let line = line.trim();
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        line.starts_with("impl") && words.any(|word| word == "Supervisor")
    };
    outside(files, "src/supervisor/", is_impl)
}

fn machine_told_elsewhere(files: &[File]) -> Vec<String> {
    outside(files, "src/supervisor/", |line| line.contains(".handle(") || line.contains("Switch::handle"))
}

fn calls_answered_elsewhere(files: &[File]) -> Vec<String> {
    outside(files, "src/sockets/calls.rs", |line| [".reply(", ".proceed("].iter().any(|call| line.contains(call)))
}

/// The fields of each struct: file, struct, line.
fn fields(file: &File) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut within: Option<(String, String)> = None;
    for (_, line) in file.lines() {
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        if let Some((name, end)) = &within {
            if line.starts_with(end.as_str()) {
                within = None;
            } else if line.contains(':') {
                found.push((name.clone(), line.trim().to_owned()));
            }
            continue;
        }
        let mut words = line.split_whitespace().skip_while(|word| *word != "struct").skip(1);
        let Some(name) = words.next() else { continue };
        let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if line.trim_end().ends_with('{') {
            within = Some((name, format!("{indent}}}")));
        } else if let Some((_, unnamed)) =
            line.split_once('(').map(|_| line.split_once(&format!("{name}(")).unwrap_or_default())
        {
            found.extend(unnamed.split(',').map(|field| (name.clone(), field.trim().to_owned())));
        }
    }
    found
}

fn open_fields(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| PARTS.iter().any(|part| file.is_in(part))) {
        for (name, field) in fields(file) {
            let is_open = field.starts_with("pub ") || field.starts_with("pub(crate)");
            if is_open && !PLAIN.iter().any(|(plain, _)| *plain == name) {
                found.push(format!("{}: {name}: {field}", file.path));
            }
        }
    }
    found
}

fn fields_of_supervisor(files: &[File]) -> usize {
    files.iter().flat_map(fields).filter(|(name, _)| name == "Supervisor").count()
}

fn sideways(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (part, strangers) in STRANGERS {
        for file in files.iter().filter(|file| file.is_in(part)) {
            let names = file.names().into_iter().filter(|name| strangers.contains(&name.as_str()));
            found.extend(names.map(|name| format!("{} names {name}", file.path)));
        }
    }
    found
}

fn too_long(files: &[File]) -> Vec<String> {
    let long = files.iter().filter(|file| file.text.lines().count() > MOST_LINES);
    long.map(|file| format!("{}: {} lines", file.path, file.text.lines().count())).collect()
}

fn holds(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}\n  {}", broken.join("\n  "));
}

#[test]
fn the_supervisor_is_implemented_in_one_place() {
    let rule = "`impl Supervisor` belongs into src/supervisor/, the only place that knows all parts: elsewhere it would be a \
                part that can reach everything";
    holds(rule, &supervisors_elsewhere(&sources()));
}

#[test]
fn the_supervisor_is_its_parts() {
    let count = fields_of_supervisor(&sources());
    assert!(count > 0, "struct Supervisor was not found: this test looks at nothing");
    assert!(
        count <= MOST_FIELDS,
        "struct Supervisor has {count} fields, more than {MOST_FIELDS}: what it is to know belongs to a part, which owns it \
         and keeps its invariant"
    );
}

#[test]
fn a_part_keeps_its_state_to_itself() {
    let rule = "a field of a part is `pub` or `pub(crate)`: others could break what the part promises; give the part a method, \
                or, for a plain question or answer, name the struct in PLAIN with a reason";
    let sources = sources();
    holds(rule, &open_fields(&sources));
    let known: Vec<String> = sources.iter().flat_map(fields).map(|(name, _)| name).collect();
    for (name, reason) in PLAIN {
        assert!(known.iter().any(|known| known == name), "{name} ({reason}) is gone: take it out of PLAIN");
    }
}

#[test]
fn no_part_names_another_one_sideways() {
    let rule = "a part names one that it must not know (see STRANGERS): it is lent what it needs of others in the call, so \
                that parts can be understood and tested alone";
    holds(rule, &sideways(&sources()));
}

#[test]
fn the_machine_is_told_in_one_place() {
    let rule = "`Switch::handle` is called in src/supervisor/ alone: what it is told is recorded in the timeline, which would \
                not replay otherwise; a part answers with events in `Out`";
    holds(rule, &machine_told_elsewhere(&sources()));
}

#[test]
fn socket_calls_are_answered_in_one_place() {
    let rule =
        "a program's socket call is answered in src/sockets/calls.rs alone: it waits until it is, and is answered once";
    holds(rule, &calls_answered_elsewhere(&sources()));
}

#[test]
fn a_file_can_be_read_at_once() {
    let rule = "a file is longer than 400 lines: take it apart, one idea to a file";
    holds(rule, &too_long(&sources()));
}

/// What `rule` finds in a crate of one file.
fn finds(rule: impl Fn(&[File]) -> Vec<String>, path: &str, text: &str) -> bool {
    !rule(&[File::new(path, text)]).is_empty()
}

#[test]
fn each_rule_finds_what_breaks_it_and_nothing_else() {
    let elsewhere = "src/sockets/x.rs";
    for bad in ["impl Supervisor {\n}\n", "impl Drop for Supervisor {\n", "    impl<'a> X<'a> for Supervisor {\n"] {
        assert!(finds(supervisors_elsewhere, elsewhere, bad), "{bad}");
        assert!(!finds(supervisors_elsewhere, "src/supervisor/x.rs", bad), "{bad}");
    }
    assert!(!finds(supervisors_elsewhere, elsewhere, "impl SupervisorError {\n// impl Supervisor\n"));
    for bad in ["self.switch.handle(now, event);\n", "Switch::handle(&mut switch, now, event);\n"] {
        assert!(finds(machine_told_elsewhere, elsewhere, bad), "{bad}");
        assert!(!finds(machine_told_elsewhere, "src/supervisor/machine.rs", bad));
        assert!(!finds(machine_told_elsewhere, "src/testing.rs", bad), "tests have machines of their own");
        assert!(!finds(machine_told_elsewhere, elsewhere, &format!("#[cfg(test)]\nmod tests {{\n{bad}}}\n")));
    }
    for bad in ["notifier.reply(call, Ok(()))\n", "notifier\n    .proceed(call)\n"] {
        assert!(finds(calls_answered_elsewhere, "src/sockets/bind.rs", bad), "{bad}");
        assert!(!finds(calls_answered_elsewhere, "src/sockets/calls.rs", bad));
    }
    assert!(finds(too_long, "tests/x.rs", &"\n".repeat(401)) && !finds(too_long, "tests/x.rs", &"\n".repeat(400)));
}

#[test]
fn fields_are_found_however_they_are_written() {
    let named =
        |visible: &str| format!("pub(crate) struct Held<'a> {{\n    /// It: all.\n    {visible}all: &'a [u8],\n}}\n");
    for place in ["src/sockets/x.rs", "src/hooks.rs", "src/hooks/x.rs", "src/processes/a/b.rs"] {
        assert!(
            finds(open_fields, place, &named("pub(crate) ")) && finds(open_fields, place, &named("pub ")),
            "{place}"
        );
        assert!(!finds(open_fields, place, &named("")) && !finds(open_fields, place, &named("pub(super) ")), "{place}");
        assert!(finds(open_fields, place, "struct Id(u8, pub(crate) u8);\n"));
        assert!(!finds(
            open_fields,
            place,
            "struct Id(u8, u8);\npub(crate) fn f(a: u8) {}\nimpl Id {\n    pub(crate) fn g() {}\n}\n"
        ));
    }
    assert!(!finds(open_fields, "src/view.rs", &named("pub(crate) ")), "what is lent is no part");
    assert!(!finds(open_fields, "src/processes/x.rs", &named("pub(crate) ").replace("Held", "TreeEnd")));
    let supervisor = format!("struct Supervisor {{\n{}}}\n", "    pub(super) a: u8,\n".repeat(13));
    assert_eq!(fields_of_supervisor(&[File::new("src/supervisor/state.rs", &supervisor)]), 13);
}

#[test]
fn a_name_is_found_by_every_path() {
    for bad in [
        "use crate::readiness::Readiness;\n",
        "use crate::{view::{Out, View}, readiness};\n",
        "use crate::{\n    readiness::Readiness,\n    view::View,\n};\n",
        "fn f(readiness: &crate::readiness::Readiness) {}\n",
        "use super::super::readiness::Readiness;\n",
    ] {
        assert!(finds(sideways, "src/sockets/x.rs", bad), "{bad}");
    }
    assert!(finds(sideways, "src/sockets/mod.rs", "use super::readiness::Readiness;\n"));
    assert!(finds(sideways, "src/sockets/a/b.rs", "use super::super::super::control::Control;\n"));
    for fine in
        ["use super::readiness::X;\n", "use crate::view::{readiness, View};\n", "use crate::{view::{readiness}};\n"]
    {
        assert!(!finds(sideways, "src/sockets/x.rs", fine), "{fine}");
    }
    for (part, strangers) in STRANGERS {
        let path = if part.ends_with('/') { format!("{part}x.rs") } else { part.to_owned() };
        for stranger in strangers {
            assert!(finds(sideways, &path, &format!("use crate::{stranger}::X;\n")), "{path} and {stranger}");
        }
        assert!(!finds(sideways, &path, "use crate::view::View;\n"));
    }
}
