//! What the commands print, as it is documented.

use crate::harness::Scene;

/// `TRYCMD=overwrite` writes down what is printed now.
#[test]
fn the_commands_print_what_is_written_down() {
    for file in std::fs::read_dir("tests/cmd").expect("it is there").flatten() {
        // The files run at the same time otherwise, and see each other's instances.
        let scene = Scene::new();
        let cases = trycmd::TestCases::new();
        cases.env("ADIEU_RUNTIME_DIR", scene.directory().display().to_string());
        cases.case(file.path());
        cases.run();
    }
}
