//! What a crate declares: the types of fields, the functions of each type, and what they return.

use std::collections::{BTreeSet, HashMap};

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Fields, FnArg, GenericParam, Generics, ImplItem, Item, ItemImpl, ReturnType, Signature, Token, TraitItem};
use syn::{Type, TypeParamBound, Visibility};

use super::lower::{Place, Ty};
use super::names::{Def, Names};
use super::read::{Module, Source};

/// A function or method.
pub(super) struct Function {
    /// Where it is written.
    pub(super) file: usize,
    /// `Type::name`, or its name alone.
    pub(super) item: String,
    /// Without the receiver.
    pub(super) params: Vec<Ty>,
    pub(super) returns: Ty,
}

/// Every type and function of a crate.
pub(super) struct Types<'a> {
    pub(super) names: &'a Names,
    aliases: HashMap<Def, (&'a str, &'a Type)>,
    /// Of structs; a tuple's are called `0`, `1`.
    fields: HashMap<Def, HashMap<String, Ty>>,
    variants: HashMap<(Def, String), HashMap<String, Ty>>,
    pub(super) functions: HashMap<Def, Function>,
    /// The functions in the `impl` blocks of a type, wherever they stand, and those that a trait declares.
    methods: HashMap<Def, HashMap<String, Vec<Function>>>,
    /// Constants and statics.
    pub(super) values: HashMap<Def, Ty>,
    /// The crate's own traits that a type has.
    traits: HashMap<Def, Vec<Def>>,
    derefs: HashMap<Def, Ty>,
    /// The files that define a method of this name which others may call.
    everywhere: HashMap<String, BTreeSet<usize>>,
    /// Of these, the ones that define it for a trait of the crate's own, which any type may have.
    extensions: HashMap<String, BTreeSet<usize>>,
}

impl<'a> Types<'a> {
    pub(super) fn of(source: &'a Source, names: &'a Names) -> Self {
        let mut found = Items { module: None, items: Vec::new() };
        for module in &source.modules {
            found.module = Some(module);
            module.items.iter().for_each(|item| found.visit_item(item));
        }
        let aliases = found.items.iter().filter_map(|(module, item)| match item {
            Item::Type(alias) => Some((def(module, &alias.ident), (module.path.as_str(), &*alias.ty))),
            _ => None,
        });
        let mut types = Types {
            names,
            aliases: aliases.collect(),
            fields: HashMap::new(),
            variants: HashMap::new(),
            functions: HashMap::new(),
            methods: HashMap::new(),
            values: HashMap::new(),
            traits: HashMap::new(),
            derefs: HashMap::new(),
            everywhere: HashMap::new(),
            extensions: HashMap::new(),
        };
        for (module, item) in found.items {
            types.declare(module, item);
        }
        types
    }

    /// What an alias stands for.
    pub(super) fn alias(&self, def: &Def) -> Option<(&'a str, &'a Type)> {
        self.aliases.get(def).copied()
    }

    /// The type of `name` in a value of type `ty`.
    pub(super) fn field(&self, ty: &Ty, name: &str) -> Ty {
        match ty {
            Ty::Local(def) => match self.fields.get(def).and_then(|fields| fields.get(name)) {
                Some(field) => field.clone(),
                None => self.derefs.get(def).map_or(Ty::Unknown, |target| self.field(target, name)),
            },
            Ty::Tuple(parts) => name.parse().ok().and_then(|at: usize| parts.get(at)).cloned().unwrap_or(Ty::Unknown),
            // Another crate does not know our types, except as the arguments of its own.
            Ty::Other(_, arguments) if arguments.is_empty() => Ty::Other(String::new(), Vec::new()),
            _ => Ty::Unknown,
        }
    }

    /// The type of a field of an enum's variant or, without one, of a struct.
    pub(super) fn part(&self, def: &Def, variant: Option<&str>, name: &str) -> Ty {
        let fields = match variant {
            Some(variant) => self.variants.get(&(def.clone(), variant.to_owned())),
            None => self.fields.get(def),
        };
        fields.and_then(|fields| fields.get(name)).cloned().unwrap_or(Ty::Unknown)
    }

    /// The function `name` of a type: its own, a default one of its traits, or that of what it dereferences to.
    pub(super) fn method(&self, def: &Def, name: &str) -> Option<&Function> {
        let own = |def: &Def| self.methods.get(def).and_then(|methods| methods.get(name)).and_then(|all| all.first());
        let of_traits = || self.traits.get(def).into_iter().flatten().find_map(own);
        let target = || match self.derefs.get(def) {
            Some(Ty::Local(target)) if target != def => self.method(target, name),
            _ => None,
        };
        own(def).or_else(of_traits).or_else(target)
    }

    /// The one file that defines a method of this name which a value of type `ty` may have.
    pub(super) fn only_file(&self, ty: &Ty, name: &str) -> Option<usize> {
        let files = if *ty == Ty::Unknown { self.everywhere.get(name) } else { self.extensions.get(name) }?;
        files.first().copied().filter(|_| files.len() == 1)
    }

    fn declare(&mut self, module: &'a Module, item: &'a Item) {
        match item {
            Item::Struct(item) => {
                let place = Place::new(&module.path).with(self, &item.generics);
                let fields = self.fields_of(&place, &item.fields);
                self.fields.insert(def(module, &item.ident), fields);
            }
            Item::Enum(item) => {
                let place = Place::new(&module.path).with(self, &item.generics);
                for variant in &item.variants {
                    let fields = self.fields_of(&place, &variant.fields);
                    self.variants.insert((def(module, &item.ident), variant.ident.to_string()), fields);
                }
            }
            Item::Fn(item) => {
                let function = self.function(&Place::new(&module.path), module.file, None, &item.sig);
                self.functions.insert(def(module, &item.sig.ident), function);
            }
            Item::Const(item) => {
                let ty = Place::new(&module.path).lower(self, &item.ty);
                self.values.insert(def(module, &item.ident), ty);
            }
            Item::Static(item) => {
                let ty = Place::new(&module.path).lower(self, &item.ty);
                self.values.insert(def(module, &item.ident), ty);
            }
            Item::Trait(item) => {
                let def = def(module, &item.ident);
                let place = Place::new(&module.path).of(Ty::Local(def.clone())).with(self, &item.generics);
                for part in &item.items {
                    if let TraitItem::Fn(part) = part {
                        self.add_method(&place, module.file, &def, &part.sig);
                        self.note(&part.sig, module.file, true);
                    }
                }
            }
            Item::Impl(item) => self.declare_impl(module, item),
            _ => (),
        }
    }

    fn declare_impl(&mut self, module: &'a Module, item: &'a ItemImpl) {
        let place = Place::new(&module.path).with(self, &item.generics);
        let self_type = place.lower(self, &item.self_ty);
        let place = place.of(self_type.clone());
        let of_trait = item.trait_.as_ref().map(|(_, path, _)| path);
        let local_trait = of_trait.and_then(|path| place.item(self, path));
        for part in &item.items {
            match part {
                ImplItem::Fn(part) => {
                    if let Ty::Local(def) = &self_type {
                        self.add_method(&place, module.file, def, &part.sig);
                    }
                    let is_visible = !matches!(part.vis, Visibility::Inherited);
                    // `fmt`, `drop` and `next` say nothing about whose they are.
                    if of_trait.is_none() && is_visible || local_trait.is_some() {
                        self.note(&part.sig, module.file, local_trait.is_some());
                    }
                }
                ImplItem::Type(part) if part.ident == "Target" => {
                    if let Ty::Local(def) = &self_type {
                        let target = place.lower(self, &part.ty);
                        self.derefs.insert(def.clone(), target);
                    }
                }
                _ => (),
            }
        }
        if let (Ty::Local(def), Some(local)) = (self_type, local_trait) {
            self.traits.entry(def).or_default().push(local);
        }
    }

    fn note(&mut self, signature: &Signature, file: usize, is_extension: bool) {
        let name = signature.ident.to_string();
        if is_extension {
            self.extensions.entry(name.clone()).or_default().insert(file);
        }
        self.everywhere.entry(name).or_default().insert(file);
    }

    fn add_method(&mut self, place: &Place, file: usize, def: &Def, signature: &Signature) {
        let function = self.function(place, file, Some(def), signature);
        let of_type = self.methods.entry(def.clone()).or_default();
        of_type.entry(signature.ident.to_string()).or_default().push(function);
    }

    fn function(&self, place: &Place, file: usize, owner: Option<&Def>, signature: &Signature) -> Function {
        let place = place.clone().with(self, &signature.generics);
        let params = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(input) => Some(place.lower(self, &input.ty)),
            FnArg::Receiver(_) => None,
        });
        let returns = match &signature.output {
            ReturnType::Default => Ty::Unknown,
            ReturnType::Type(_, ty) => place.lower(self, ty),
        };
        let name = signature.ident.to_string();
        let item = owner.map_or(name.clone(), |owner| format!("{}::{name}", owner.name));
        Function { file, item, params: params.collect(), returns }
    }

    fn fields_of(&self, place: &Place, fields: &Fields) -> HashMap<String, Ty> {
        let named = fields.iter().enumerate().map(|(at, field)| {
            let name = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
            (name, place.lower(self, &field.ty))
        });
        named.collect()
    }
}

fn def(module: &Module, name: &syn::Ident) -> Def {
    Def { module: module.path.clone(), name: name.to_string() }
}

/// What is known of each type parameter: its bounds.
pub(super) fn bounds(generics: &Generics) -> Vec<(String, Vec<&Punctuated<TypeParamBound, Token![+]>>)> {
    let params = generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(param),
        _ => None,
    });
    let known = params.map(|param| {
        let clauses = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        let more = clauses.filter_map(|predicate| match predicate {
            syn::WherePredicate::Type(bound) => match &bound.bounded_ty {
                Type::Path(path) if path.path.is_ident(&param.ident) => Some(&bound.bounds),
                _ => None,
            },
            _ => None,
        });
        (param.ident.to_string(), std::iter::once(&param.bounds).chain(more).collect())
    });
    known.collect()
}

/// Every item with its module, those inside of functions too.
struct Items<'a> {
    module: Option<&'a Module>,
    items: Vec<(&'a Module, &'a Item)>,
}

impl<'a> Visit<'a> for Items<'a> {
    fn visit_item(&mut self, item: &'a Item) {
        self.items.extend(self.module.map(|module| (module, item)));
        visit::visit_item(self, item);
    }
}
