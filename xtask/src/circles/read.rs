//! Reading one crate: its files and modules, from the root file along the `mod` declarations, without what is compiled for
//! tests only.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, ImplItem, Item, Meta, TraitItem};

use crate::command::{Failure, Outcome};

/// One module: all of a file, or the inside of a `mod x { .. }`.
pub(super) struct Module {
    /// `crate::switch::tests`.
    pub(super) path: String,
    /// The index of the file that it is written in.
    pub(super) file: usize,
    /// Everything in it except modules.
    pub(super) items: Vec<Item>,
}

/// A crate's source.
#[derive(Default)]
pub(super) struct Source {
    /// Relative to the root file's directory.
    pub(super) files: Vec<String>,
    pub(super) modules: Vec<Module>,
}

/// What a file says, or `None` when there is no such file.
pub(super) type Load<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Source {
    /// Reads the crate whose root file is `root`.
    pub(super) fn of(root: &Path) -> Outcome<Self> {
        Self::with(root, &|file| fs::read_to_string(file).ok())
    }

    pub(super) fn with(root: &Path, load: Load<'_>) -> Outcome<Self> {
        let directory = root.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut reading = Reading { base: directory.clone(), load, source: Self::default() };
        reading.file(root, "crate", &directory)?;
        Ok(reading.source)
    }
}

struct Reading<'a> {
    /// What the files' names are relative to.
    base: PathBuf,
    load: Load<'a>,
    source: Source,
}

impl Reading<'_> {
    /// Reads a file and, with it, the modules that it declares, whose files are in `directory`.
    fn file(&mut self, file: &Path, module: &str, directory: &Path) -> Outcome {
        let text = (self.load)(file).ok_or_else(|| Failure(format!("cannot read {}", file.display())))?;
        let parsed = syn::parse_file(&text)
            .map_err(|error| Failure(format!("{}:{}: {error}", file.display(), error.span().start().line)))?;
        let index = self.source.files.len();
        self.source.files.push(file.strip_prefix(&self.base).unwrap_or(file).display().to_string());
        self.items(parsed.items, index, file, module, directory)
    }

    fn items(&mut self, items: Vec<Item>, index: usize, file: &Path, module: &str, directory: &Path) -> Outcome {
        let at = self.source.modules.len();
        self.source.modules.push(Module { path: module.to_owned(), file: index, items: Vec::new() });
        let mut kept = Vec::new();
        for item in items.into_iter().filter(|item| !is_for_tests(attributes(item))) {
            let Item::Mod(declared) = item else {
                kept.push(without_tests(item));
                continue;
            };
            let name = declared.ident.to_string();
            if name == "tests" {
                continue;
            }
            let path = format!("{module}::{name}");
            match declared.content {
                Some((_, inner)) => self.items(inner, index, file, &path, &directory.join(&name))?,
                None => {
                    let found = self.declared(&name, &declared.attrs, file, directory)?;
                    let below = match found.file_name() {
                        Some(file) if file == "mod.rs" => found.parent().unwrap_or(directory).to_path_buf(),
                        _ => found.with_extension(""),
                    };
                    self.file(&found, &path, &below)?;
                }
            }
        }
        self.source.modules[at].items = kept;
        Ok(())
    }

    /// The file of `mod name;`.
    fn declared(&self, name: &str, attributes: &[Attribute], file: &Path, directory: &Path) -> Outcome<PathBuf> {
        if let Some(path) = attributes.iter().find_map(written_path) {
            return Ok(file.parent().unwrap_or(directory).join(path));
        }
        let candidates = [directory.join(name).with_extension("rs"), directory.join(name).join("mod.rs")];
        let [flat, _] = &candidates;
        let missing = format!("{}: `mod {name};` has no file {}", file.display(), flat.display());
        candidates.into_iter().find(|candidate| (self.load)(candidate).is_some()).ok_or(Failure(missing))
    }
}

/// `#[path = "other.rs"]`.
fn written_path(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| path.value())
}

/// Whether it is compiled for tests only: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, unix))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => list.parse_args().is_ok_and(|meta| needs_test(&meta)),
        _ => false,
    })
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let inner = list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
    let Ok(inner) = inner else { return false };
    if list.path.is_ident("all") {
        inner.iter().any(needs_test)
    } else {
        list.path.is_ident("any") && inner.iter().all(needs_test)
    }
}

/// Leaves out the functions of an `impl` or `trait` that only tests have.
fn without_tests(mut item: Item) -> Item {
    match &mut item {
        Item::Impl(block) => block.items.retain(|item| match item {
            ImplItem::Fn(function) => !is_for_tests(&function.attrs),
            ImplItem::Const(constant) => !is_for_tests(&constant.attrs),
            _ => true,
        }),
        Item::Trait(block) => block.items.retain(|item| match item {
            TraitItem::Fn(function) => !is_for_tests(&function.attrs),
            _ => true,
        }),
        _ => (),
    }
    item
}

fn attributes(item: &Item) -> &[Attribute] {
    use syn::{
        ItemConst, ItemEnum, ItemFn, ItemImpl, ItemMacro, ItemMod, ItemStatic, ItemStruct, ItemTrait, ItemType, ItemUse,
    };
    match item {
        Item::Const(ItemConst { attrs, .. })
        | Item::Enum(ItemEnum { attrs, .. })
        | Item::Fn(ItemFn { attrs, .. })
        | Item::Impl(ItemImpl { attrs, .. })
        | Item::Macro(ItemMacro { attrs, .. })
        | Item::Mod(ItemMod { attrs, .. })
        | Item::Static(ItemStatic { attrs, .. })
        | Item::Struct(ItemStruct { attrs, .. })
        | Item::Trait(ItemTrait { attrs, .. })
        | Item::Type(ItemType { attrs, .. })
        | Item::Use(ItemUse { attrs, .. }) => attrs,
        _ => &[],
    }
}
