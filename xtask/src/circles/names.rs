//! What a path means: from `use` declarations and modules to the file in which an item is written. Re-exports are followed.

use std::collections::{HashMap, HashSet};

use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Item, ItemUse, UseTree, Visibility};

use super::read::{Module, Source};

/// How many re-exports are followed before a path counts as another crate's: more are a circle of re-exports.
const DEPTH: usize = 16;

/// An item: the module that it is written in, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Def {
    pub(super) module: String,
    pub(super) name: String,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An item of this crate, and what the path says behind it: a variant, an associated function.
    Item(Def, Vec<String>),
    Module(String),
    /// Another crate's, or a local name.
    Elsewhere,
}

/// One name that a `use` brings.
pub(super) struct Import {
    /// What it is called here; `None` for `*`.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    /// `pub use`, `pub(crate) use`: for others, not for this module.
    pub(super) re_export: bool,
}

#[derive(Default)]
struct Scope {
    file: usize,
    items: HashSet<String>,
    imports: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// The variants of each enum, for `use Kind::*`.
    variants: HashMap<String, HashSet<String>>,
}

/// Every name of a crate.
pub(super) struct Names {
    scopes: HashMap<String, Scope>,
}

impl Names {
    pub(super) fn of(source: &Source) -> Self {
        Self { scopes: source.modules.iter().map(|module| (module.path.clone(), Scope::of(module))).collect() }
    }

    /// The file that an item is written in.
    pub(super) fn file(&self, def: &Def) -> Option<usize> {
        self.scopes.get(&def.module).map(|scope| scope.file)
    }

    /// What `path` means where `module` says it.
    pub(super) fn resolve(&self, module: &str, path: &[String]) -> Meaning {
        self.from(module, path, DEPTH)
    }

    fn from(&self, module: &str, path: &[String], depth: usize) -> Meaning {
        let Some((first, rest)) = path.split_first() else { return Meaning::Module(module.to_owned()) };
        match first.as_str() {
            "crate" => self.walk("crate", rest, depth),
            "self" => self.walk(module, rest, depth),
            "super" => match module.rsplit_once("::") {
                // `super::super::x` says `super` again where the first has led to.
                Some((parent, _)) if rest.first().is_some_and(|next| next == "super") => self.from(parent, rest, depth),
                Some((parent, _)) => self.walk(parent, rest, depth),
                None => Meaning::Elsewhere,
            },
            _ => self.walk(module, path, depth),
        }
    }

    /// Follows `path` from inside `module`.
    fn walk(&self, module: &str, path: &[String], depth: usize) -> Meaning {
        let Some((first, rest)) = path.split_first() else { return Meaning::Module(module.to_owned()) };
        let (Some(scope), Some(deeper)) = (self.scopes.get(module), depth.checked_sub(1)) else {
            return Meaning::Elsewhere;
        };
        let child = format!("{module}::{first}");
        // A function may have its module's name: what more is said tells which is meant.
        if self.scopes.contains_key(&child) && (!rest.is_empty() || !scope.items.contains(first)) {
            return self.walk(&child, rest, deeper);
        }
        if scope.items.contains(first) {
            return Meaning::Item(Def { module: module.to_owned(), name: first.clone() }, rest.to_vec());
        }
        if let Some(target) = scope.imports.get(first) {
            // `use self::x as x` and another crate's `use x::x` must not go round.
            if target.first() == Some(first) {
                return Meaning::Elsewhere;
            }
            return self.from(module, &[target, rest].concat(), deeper);
        }
        let through = |glob: &Vec<String>| match self.from(module, glob, deeper) {
            Meaning::Module(other) if other != module => Some(self.walk(&other, path, deeper)),
            Meaning::Item(def, _) if self.has_variant(&def, first) => Some(Meaning::Item(def, path.to_vec())),
            _ => None,
        };
        let found = scope.globs.iter().filter_map(through).find(|meaning| *meaning != Meaning::Elsewhere);
        found.unwrap_or(Meaning::Elsewhere)
    }

    fn has_variant(&self, def: &Def, name: &str) -> bool {
        let variants = self.scopes.get(&def.module).and_then(|scope| scope.variants.get(&def.name));
        variants.is_some_and(|variants| variants.contains(name))
    }
}

impl Scope {
    fn of(module: &Module) -> Self {
        let mut scope = Self { file: module.file, ..Self::default() };
        for import in imports(module) {
            match import.name {
                Some(name) => drop(scope.imports.insert(name, import.path)),
                None => scope.globs.push(import.path),
            }
        }
        let mut inner = Declared { scope: &mut scope };
        module.items.iter().for_each(|item| inner.visit_item(item));
        scope
    }
}

/// Finds what is declared in a module, also inside of its functions.
struct Declared<'a> {
    scope: &'a mut Scope,
}

impl<'ast> Visit<'ast> for Declared<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => {
                let variants = item.variants.iter().map(|variant| variant.ident.to_string()).collect();
                self.scope.variants.insert(item.ident.to_string(), variants);
                Some(&item.ident)
            }
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        self.scope.items.extend(name.map(ToString::to_string));
        syn::visit::visit_item(self, item);
    }
}

/// Every name that the `use` declarations of a module bring, those inside of functions too.
pub(super) fn imports(module: &Module) -> Vec<Import> {
    struct Uses(Vec<Import>);
    impl<'ast> Visit<'ast> for Uses {
        fn visit_item_use(&mut self, item: &'ast ItemUse) {
            // `use ::other::x` is another crate's.
            if item.leading_colon.is_none() {
                let re_export = !matches!(item.vis, Visibility::Inherited);
                flatten(&item.tree, &mut Vec::new(), re_export, &mut self.0);
            }
        }
    }
    let mut uses = Uses(Vec::new());
    module.items.iter().for_each(|item| uses.visit_item(item));
    uses.0
}

fn flatten(tree: &UseTree, path: &mut Vec<String>, re_export: bool, imports: &mut Vec<Import>) {
    let line = tree.span().start().line;
    let mut leaf = |name: Option<String>, path: Vec<String>| imports.push(Import { name, path, line, re_export });
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            flatten(&step.tree, path, re_export, imports);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, re_export, imports)),
        UseTree::Glob(_) => leaf(None, path.clone()),
        UseTree::Name(last) if last.ident == "self" => leaf(path.last().cloned(), path.clone()),
        UseTree::Name(last) => leaf(Some(last.ident.to_string()), [&path[..], &[last.ident.to_string()]].concat()),
        UseTree::Rename(last) if last.ident == "self" => leaf(Some(last.rename.to_string()), path.clone()),
        UseTree::Rename(last) => {
            leaf(Some(last.rename.to_string()), [&path[..], &[last.ident.to_string()]].concat());
        }
    }
}
