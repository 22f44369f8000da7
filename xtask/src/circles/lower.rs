//! From a type as it is written to what a call needs to know of it.

use std::collections::HashMap;

use syn::punctuated::Punctuated;
use syn::{
    AngleBracketedGenericArguments, GenericArgument, Generics, Path, PathArguments, Token, Type, TypeParamBound,
};

use super::names::{Def, Meaning};
use super::types::{Types, bounds};

/// A type, as far as it says whose methods are meant. References and smart pointers are what they lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ty {
    /// The crate's own.
    Local(Def),
    /// Another crate's, with its arguments. Slices and arrays are `Vec`, what implements `Iterator` is `Iter`.
    Other(String, Vec<Self>),
    Tuple(Vec<Self>),
    /// What is called with these.
    Closure(Vec<Self>),
    /// A function's type parameter.
    Param(String),
    Unknown,
}

impl Ty {
    pub(super) fn other(name: &str, argument: Self) -> Self {
        Self::Other(name.to_owned(), vec![argument])
    }

    /// What a container, an `Option` or a `Result` has inside: a map's values.
    pub(super) fn inside(&self) -> Self {
        match self {
            Self::Other(name, arguments) if name == "Result" => arguments.first().cloned().unwrap_or(Self::Unknown),
            Self::Other(_, arguments) => arguments.last().cloned().unwrap_or(Self::Unknown),
            _ => Self::Unknown,
        }
    }

    /// What an iteration gives: of a map, pairs.
    pub(super) fn each(&self) -> Self {
        match self {
            Self::Other(name, arguments) if name.ends_with("Map") => Self::Tuple(arguments.clone()),
            _ => self.inside(),
        }
    }

    /// Puts what the parameters stand for in their place.
    pub(super) fn filled(&self, known: &HashMap<String, Self>) -> Self {
        let all = |types: &[Self]| types.iter().map(|ty| ty.filled(known)).collect();
        match self {
            Self::Param(name) => known.get(name).cloned().unwrap_or(Self::Unknown),
            Self::Other(name, arguments) => Self::Other(name.clone(), all(arguments)),
            Self::Tuple(parts) => Self::Tuple(all(parts)),
            other => other.clone(),
        }
    }

    /// Finds out what this type's parameters stand for where `given` was given for it.
    pub(super) fn unify(&self, given: &Self, known: &mut HashMap<String, Self>) {
        match (self, given) {
            (Self::Param(name), given) if *given != Self::Unknown => drop(known.insert(name.clone(), given.clone())),
            (Self::Other(_, wanted), Self::Other(_, given)) | (Self::Tuple(wanted), Self::Tuple(given)) => {
                wanted.iter().zip(given).for_each(|(wanted, given)| wanted.unify(given, known));
            }
            _ => (),
        }
    }
}

/// Where a type is written: what `Self` and the type parameters are there.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) module: String,
    pub(super) self_type: Option<Ty>,
    pub(super) params: HashMap<String, Ty>,
}

/// What is used as that which it holds.
const TRANSPARENT: &[&str] = &[
    "Arc",
    "Box",
    "Cow",
    "ManuallyDrop",
    "MutexGuard",
    "Pin",
    "Rc",
    "Ref",
    "RefMut",
    "RwLockReadGuard",
    "RwLockWriteGuard",
];

impl Place {
    pub(super) fn new(module: &str) -> Self {
        Self { module: module.to_owned(), self_type: None, params: HashMap::new() }
    }

    /// The same place inside of an `impl` of this type.
    pub(super) fn of(mut self, self_type: Ty) -> Self {
        self.self_type = Some(self_type);
        self
    }

    /// The same place with more type parameters.
    pub(super) fn with(mut self, types: &Types<'_>, generics: &Generics) -> Self {
        for (name, bounds) in bounds(generics) {
            let known = bounds.into_iter().map(|bounds| self.bound(types, bounds));
            let known = known
                .filter(|ty| matches!(ty, Ty::Local(_) | Ty::Closure(_)) || ty.inside() != Ty::Unknown)
                .collect::<Vec<_>>();
            self.params.insert(name.clone(), known.into_iter().next().unwrap_or(Ty::Param(name)));
        }
        self
    }

    pub(super) fn lower(&self, types: &Types<'_>, ty: &Type) -> Ty {
        match ty {
            Type::Reference(inner) => self.lower(types, &inner.elem),
            Type::Paren(inner) => self.lower(types, &inner.elem),
            Type::Group(inner) => self.lower(types, &inner.elem),
            Type::Ptr(inner) => self.lower(types, &inner.elem),
            Type::Slice(inner) => Ty::other("Vec", self.lower(types, &inner.elem)),
            Type::Array(inner) => Ty::other("Vec", self.lower(types, &inner.elem)),
            Type::Tuple(parts) => Ty::Tuple(parts.elems.iter().map(|part| self.lower(types, part)).collect()),
            Type::ImplTrait(of) => self.bound(types, &of.bounds),
            Type::TraitObject(of) => self.bound(types, &of.bounds),
            Type::BareFn(call) => Ty::Closure(call.inputs.iter().map(|input| self.lower(types, &input.ty)).collect()),
            Type::Path(path) if path.qself.is_none() => self.path(types, &path.path),
            _ => Ty::Unknown,
        }
    }

    fn path(&self, types: &Types<'_>, path: &Path) -> Ty {
        if path.is_ident("Self") {
            return self.self_type.clone().unwrap_or(Ty::Unknown);
        }
        let param = path.get_ident().and_then(|name| self.params.get(&name.to_string()));
        if let Some(param) = param {
            return param.clone();
        }
        let Some(last) = path.segments.last() else { return Ty::Unknown };
        if let Some(def) = self.item(types, path) {
            return match types.alias(&def) {
                Some((module, ty))
                    if module != self.module || !matches!(ty, Type::Path(same) if same.path == *path) =>
                {
                    Self::new(module).lower(types, ty)
                }
                _ => Ty::Local(def),
            };
        }
        let name = last.ident.to_string();
        let mut arguments = self.arguments(types, &last.arguments);
        if TRANSPARENT.contains(&name.as_str()) && !arguments.is_empty() {
            return arguments.remove(0);
        }
        Ty::Other(name, arguments)
    }

    fn arguments(&self, types: &Types<'_>, arguments: &PathArguments) -> Vec<Ty> {
        let PathArguments::AngleBracketed(arguments) = arguments else { return Vec::new() };
        let types = arguments.args.iter().filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(self.lower(types, ty)),
            _ => None,
        });
        types.collect()
    }

    /// The crate's own type that a path names.
    pub(super) fn item(&self, types: &Types<'_>, path: &Path) -> Option<Def> {
        if path.leading_colon.is_some() {
            return None;
        }
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        match types.names.resolve(&self.module, &segments) {
            Meaning::Item(def, rest) if rest.is_empty() => Some(def),
            _ => None,
        }
    }

    /// What implements these traits: the crate's own trait if one of them is, else what it iterates over or resolves to.
    fn bound(&self, types: &Types<'_>, bounds: &Punctuated<TypeParamBound, Token![+]>) -> Ty {
        let mut known = Ty::Unknown;
        for bound in bounds {
            let TypeParamBound::Trait(bound) = bound else { continue };
            if let Some(def) = self.item(types, &bound.path) {
                return Ty::Local(def);
            }
            let Some(last) = bound.path.segments.last() else { continue };
            let arguments = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => arguments,
                PathArguments::Parenthesized(call) => {
                    return Ty::Closure(call.inputs.iter().map(|input| self.lower(types, input)).collect());
                }
                PathArguments::None => continue,
            };
            known = match last.ident.to_string().as_str() {
                "Iterator" | "IntoIterator" | "DoubleEndedIterator" | "ExactSizeIterator" => {
                    Ty::other("Iter", self.associated(types, arguments))
                }
                "Future" => self.associated(types, arguments),
                "AsRef" | "Borrow" | "Deref" | "Into" => {
                    self.arguments(types, &last.arguments).pop().unwrap_or(Ty::Unknown)
                }
                _ => known,
            };
        }
        known
    }

    /// `T` of `Item = T`.
    fn associated(&self, types: &Types<'_>, arguments: &AngleBracketedGenericArguments) -> Ty {
        let found = arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(equal) => Some(self.lower(types, &equal.ty)),
            _ => None,
        });
        found.unwrap_or(Ty::Unknown)
    }
}
