//! What the commands print, as it is documented.

use super::Scene;

/// `TRYCMD=overwrite` writes down what is printed now.
#[test]
fn the_commands_print_what_is_written_down() {
    let scene = Scene::new();
    let cases = trycmd::TestCases::new();
    cases.env("ADIEU_RUNTIME_DIR", scene.directory().display().to_string());
    cases.case("tests/cmd/*.trycmd");
    cases.run();
}
