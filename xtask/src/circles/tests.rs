//! Small crates with known circles, and some that only look as if they had one.

use std::path::Path;

use super::graph::{Arrow, circles, holding};
use super::graphs;
use super::read::Source;

/// Reads a crate of these files.
fn source(files: &[(&str, &str)]) -> Source {
    let load = |wanted: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == wanted);
        found.map(|(_, text)| (*text).to_owned())
    };
    Source::with(Path::new("lib.rs"), &load).expect("it is a crate")
}

/// Its circles by imports and by calls, by the names of their files.
fn found(files: &[(&str, &str)]) -> [Vec<Vec<String>>; 2] {
    let source = source(files);
    graphs(&source).map(|arrows| {
        let named = |circle: Vec<usize>| circle.into_iter().map(|file| source.files[file].clone()).collect();
        circles(source.files.len(), &arrows).into_iter().map(named).collect()
    })
}

/// Its arrows, as `from → to: item`, in the order of the alphabet.
fn arrows(files: &[(&str, &str)]) -> [Vec<String>; 2] {
    let source = source(files);
    graphs(&source).map(|arrows| {
        let name = |file: usize| source.files[file].trim_end_matches(".rs");
        let mut shown: Vec<String> =
            arrows.iter().map(|arrow| format!("{} → {}: {}", name(arrow.from), name(arrow.to), arrow.item)).collect();
        shown.sort();
        shown.dedup();
        shown
    })
}

#[test]
fn three_files_that_import_each_other_in_a_ring_are_a_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B { c: super::c::C }"),
        ("c.rs", "use super::a; pub struct C(Box<a::A>);"),
    ];
    let [imports, calls] = found(&files);
    assert_eq!(imports, [["a.rs", "b.rs", "c.rs"]]);
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn one_impl_over_three_files_whose_methods_call_each_other_is_a_circle_of_calls() {
    let files = [
        ("lib.rs", "mod main; mod births; mod deaths;"),
        ("main.rs", "pub struct Main; impl Main { fn run(&self) { self.spawn() } }"),
        ("births.rs", "use super::main::Main; impl Main { pub fn spawn(&self) { if true { self.ended(1) } } }"),
        ("deaths.rs", "impl crate::main::Main { pub fn ended(&self, code: i32) { loop { Self::run(self) } } }"),
    ];
    let [imports, calls] = found(&files);
    assert!(imports.is_empty(), "{imports:?}");
    assert_eq!(calls, [["main.rs", "births.rs", "deaths.rs"]]);
}

#[test]
fn declaring_and_re_exporting_modules_is_no_import() {
    let files = [
        ("lib.rs", "pub mod a; mod b; pub use a::A; pub use b::B;"),
        ("a.rs", "use crate::B; pub struct A(B);"),
        ("b.rs", "pub struct B(i32);"),
    ];
    let [imports, _] = arrows(&files);
    assert_eq!(imports, ["a → b: B"], "through the root, to the file that defines it");
}

#[test]
fn a_re_export_of_a_re_export_under_another_name_is_followed() {
    let files = [
        ("lib.rs", "mod a; mod b; mod user;"),
        ("a.rs", "pub struct Thing; impl Thing { pub fn grow(&self) {} }"),
        ("b.rs", "mod deep; pub use deep::*;"),
        ("b/deep.rs", "pub use crate::a::Thing as Other;"),
        ("user.rs", "use crate::b::Other; fn f(other: &Other) { other.grow() }"),
    ];
    let [imports, calls] = arrows(&files);
    assert_eq!(imports, ["user → a: Thing"]);
    assert_eq!(calls, ["user → a: Thing::grow"]);
}

#[test]
fn what_only_tests_need_is_no_arrow() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b; #[cfg(test)] mod harness;"),
        ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; fn f() { crate::b::g() } }"),
        (
            "b.rs",
            "use crate::a::A; pub struct B(A); pub fn g() {}
             #[cfg(all(test, unix))] use crate::a::missing; mod tests;",
        ),
    ];
    let [imports, calls] = arrows(&files);
    assert_eq!(imports, ["b → a: A"]);
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn a_cfg_that_tests_are_only_one_case_of_counts() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "#[cfg(any(test, unix))] use crate::b::B; #[cfg(not(test))] pub struct A(B);"),
        ("b.rs", "pub struct B;"),
    ];
    assert_eq!(arrows(&files)[0], ["a → b: B"]);
}

#[test]
fn the_receiver_of_a_method_is_known_from_fields_parameters_and_variables() {
    let files = [
        ("lib.rs", "mod part; mod other; mod whole;"),
        (
            "part.rs",
            "pub struct Part; impl Part { pub fn new() -> Self { Self } pub fn get(&self) {} pub fn end(self) {} }",
        ),
        ("other.rs", "pub struct Other; impl Other { pub fn get(&self) {} pub fn end(self) {} }"),
        (
            "whole.rs",
            "use crate::part::Part; use crate::other::Other;
             struct Whole { part: Part, others: std::collections::BTreeMap<u32, Option<Other>> }
             impl Whole {
                 fn by_field(&self) { self.part.get() }
                 fn by_variable() { let one = Part::new(); one.end() }
                 fn by_container(&mut self) {
                     for other in self.others.values_mut() {
                         if let Some(other) = other { other.get() }
                     }
                     self.others.values().flatten().map(|other| other.end());
                 }
             }",
        ),
    ];
    let [_, calls] = arrows(&files);
    let expected = ["other: Other::end", "other: Other::get", "part: Part::end", "part: Part::get", "part: Part::new"];
    assert_eq!(calls, expected.map(|call| format!("whole → {call}")));
}

#[test]
fn a_function_that_is_handed_over_or_stands_in_a_macro_is_called() {
    let files = [
        ("lib.rs", "mod rules; mod list;"),
        ("rules.rs", "pub fn first() {} pub fn second() -> u8 { 0 }"),
        (
            "list.rs",
            "use crate::rules; const ALL: &[fn()] = &[rules::first];
             fn f() { println!(\"{}\", rules::second()) }",
        ),
    ];
    let [imports, calls] = arrows(&files);
    assert_eq!(calls, ["list → rules: first", "list → rules: second"]);
    assert_eq!(imports, calls);
}

#[test]
fn a_method_of_an_unknown_type_counts_when_one_file_only_offers_it_and_its_name_is_uncommon() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; impl A { pub fn weigh_anchor(&self) {} pub fn push(&self) {} fn sink(&self) {} }"),
        ("b.rs", "fn f() { let found = somewhere::found(); found.weigh_anchor(); found.push(); found.sink(); }"),
    ];
    assert_eq!(arrows(&files)[1], ["b → a: .weigh_anchor"]);
}

#[test]
fn a_method_of_another_crates_type_is_not_ours_although_we_have_one_of_that_name() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; impl A { pub fn weigh_anchor(&self) {} }"),
        ("b.rs", "use other::Ship; fn f(ship: &Ship) { ship.weigh_anchor(); ship.tender.weigh_anchor() }"),
    ];
    let [_, calls] = arrows(&files);
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn a_circle_is_shown_with_the_arrow_that_is_cheapest_to_remove() {
    let arrow = |from, to, item: &str| Arrow { from, to, item: item.to_owned(), line: 1 };
    let ring =
        [arrow(0, 1, "a"), arrow(0, 1, "b"), arrow(1, 2, "c"), arrow(1, 2, "d"), arrow(2, 0, "e"), arrow(3, 0, "f")];
    assert_eq!(circles(4, &ring), [vec![0, 1, 2]]);
    assert_eq!(holding(&[0, 1, 2], &ring), [vec![arrow(2, 0, "e")]]);
}
