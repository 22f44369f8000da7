//! Which file names an item of which: by `use`, or by a path in the middle of the code.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ItemUse, Macro, Path};

use super::graph::Arrow;
use super::macros;
use super::names::{Meaning, Names, imports};
use super::read::{Module, Source};

/// Every import of a crate.
///
/// `mod x;` is none, nor is a re-export by itself: they are a table of contents. Who uses a re-exported name has an arrow to
/// the file that defines it. A path to a module alone is none either; what is then used of the module is.
pub(super) fn arrows(source: &Source, names: &Names) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for module in &source.modules {
        let mut paths = Paths { names, module, arrows: &mut arrows };
        for import in imports(module).iter().filter(|import| !import.re_export && import.name.is_some()) {
            paths.name(&import.path, import.line);
        }
        module.items.iter().for_each(|item| paths.visit_item(item));
    }
    arrows
}

struct Paths<'a> {
    names: &'a Names,
    module: &'a Module,
    arrows: &'a mut Vec<Arrow>,
}

impl Paths<'_> {
    fn name(&mut self, path: &[String], line: usize) {
        let Meaning::Item(def, rest) = self.names.resolve(&self.module.path, path) else { return };
        let Some(to) = self.names.file(&def) else { return };
        if to != self.module.file {
            let item = [&[def.name][..], &rest].concat().join("::");
            self.arrows.push(Arrow { from: self.module.file, to, item, line });
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.name(&segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        macros::expressions(call).iter().for_each(|expression| self.visit_expr(expression));
    }

    // The paths in attributes are macros' words, and those of `use` are read as a whole.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_item_use(&mut self, _: &'ast ItemUse) {}
}
