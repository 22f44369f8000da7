//! The type of an expression, where the function that it is in makes it evident.

use std::collections::HashMap;

use syn::{Block, Expr, ExprCall, ExprClosure, ExprMethodCall, ExprPath, FieldPat, Member, Pat, Path, Stmt};

use super::lower::{Place, Ty};
use super::names::{Def, Meaning};
use super::types::{Function, Types};

/// What a path in an expression names.
pub(super) enum Named<'a> {
    Function(&'a Function),
    /// A struct, a variant, a constant, a variable.
    Value(Ty),
}

/// What is known at one point of a function.
#[derive(Clone)]
pub(super) struct Context<'a> {
    pub(super) types: &'a Types<'a>,
    pub(super) place: Place,
    /// The variables, innermost block last.
    pub(super) variables: Vec<HashMap<String, Ty>>,
}

impl<'a> Context<'a> {
    /// The same with what `bind` adds, for the length of a block.
    fn with(&self, bind: impl FnOnce(&mut Self)) -> Self {
        let mut inner = self.clone();
        inner.variables.push(HashMap::new());
        bind(&mut inner);
        inner
    }

    fn set(&mut self, name: String, ty: Ty) {
        if let Some(block) = self.variables.last_mut() {
            block.insert(name, ty);
        }
    }

    fn variable(&self, name: &str) -> Option<&Ty> {
        self.variables.iter().rev().find_map(|block| block.get(name))
    }

    /// What a path in an expression names.
    pub(super) fn named(&self, path: &ExprPath) -> Named<'a> {
        let (segments, def) = (words(&path.path), path.qself.as_ref().map(|of| self.place.lower(self.types, &of.ty)));
        let (first, last) = match segments.as_slice() {
            [] => return Named::Value(Ty::Unknown),
            [first] => {
                if let Some(ty) = self.variable(first) {
                    return Named::Value(ty.clone());
                }
                (first, first)
            }
            [first, .., last] => (first, last),
        };
        // `<Type as Trait>::f`, `Self::f` and `T::f`.
        let param = || self.place.params.get(first).cloned().filter(|_| segments.len() == 2);
        let self_type = || if first == "Self" { self.place.self_type.clone() } else { param() };
        if let Some(owner) = def.or_else(self_type) {
            return self.of_type(&owner, if segments.len() > 1 { Some(last) } else { None });
        }
        match self.types.names.resolve(&self.place.module, &segments) {
            Meaning::Item(def, rest) => self.item(&def, rest.first()),
            Meaning::Module(_) | Meaning::Elsewhere => Named::Value(Ty::Unknown),
        }
    }

    fn item(&self, def: &Def, member: Option<&String>) -> Named<'a> {
        if let Some((module, ty)) = self.types.alias(def) {
            return self.of_type(&Place::new(module).lower(self.types, ty), member);
        }
        if let Some(function) = self.types.functions.get(def) {
            return Named::Function(function);
        }
        match self.types.values.get(def) {
            Some(ty) => Named::Value(ty.clone()),
            None => self.of_type(&Ty::Local(def.clone()), member),
        }
    }

    fn of_type(&self, owner: &Ty, member: Option<&String>) -> Named<'a> {
        let function = match (owner, member) {
            (Ty::Local(def), Some(member)) => self.types.method(def, member),
            _ => None,
        };
        function.map_or(Named::Value(owner.clone()), Named::Function)
    }

    /// The type of an expression.
    pub(super) fn ty(&self, expression: &Expr) -> Ty {
        match expression {
            Expr::Path(path) => match self.named(path) {
                Named::Value(ty) => ty,
                Named::Function(_) => Ty::Unknown,
            },
            Expr::Field(field) => self.types.field(&self.ty(&field.base), &member(&field.member)),
            Expr::MethodCall(call) => self.returned(call),
            Expr::Call(call) => self.called(call),
            Expr::Struct(literal) => self.constructed(&literal.path).0.map_or(Ty::Unknown, Ty::Local),
            Expr::Reference(inner) => self.ty(&inner.expr),
            Expr::Paren(inner) => self.ty(&inner.expr),
            Expr::Group(inner) => self.ty(&inner.expr),
            Expr::Unary(inner) => self.ty(&inner.expr),
            Expr::Await(inner) => self.ty(&inner.base),
            Expr::Try(inner) => self.ty(&inner.expr).inside(),
            Expr::Index(inner) => match &*inner.index {
                Expr::Range(_) => self.ty(&inner.expr),
                _ => self.ty(&inner.expr).inside(),
            },
            Expr::Cast(cast) => self.place.lower(self.types, &cast.ty),
            Expr::Tuple(tuple) => Ty::Tuple(tuple.elems.iter().map(|part| self.ty(part)).collect()),
            Expr::Array(array) => Ty::other("Vec", array.elems.first().map_or(Ty::Unknown, |first| self.ty(first))),
            Expr::Block(block) => self.block(&block.block),
            Expr::Unsafe(block) => self.block(&block.block),
            Expr::Async(block) => self.block(&block.block),
            Expr::If(branch) => self.with(|inner| inner.condition(&branch.cond)).block(&branch.then_branch),
            Expr::Match(choice) => {
                let of = self.ty(&choice.expr);
                let arms = choice.arms.iter().map(|arm| self.with(|inner| inner.bind(&arm.pat, &of)).ty(&arm.body));
                arms.into_iter().find(|ty| *ty != Ty::Unknown).unwrap_or(Ty::Unknown)
            }
            _ => Ty::Unknown,
        }
    }

    fn block(&self, block: &Block) -> Ty {
        let inner = self.with(|inner| {
            for statement in &block.stmts {
                if let Stmt::Local(local) = statement {
                    inner.local(local);
                }
            }
        });
        match block.stmts.last() {
            Some(Stmt::Expr(last, None)) => inner.ty(last),
            _ => Ty::Unknown,
        }
    }

    fn called(&self, call: &ExprCall) -> Ty {
        let Expr::Path(path) = &*call.func else { return Ty::Unknown };
        match self.named(path) {
            Named::Function(function) => self.result(function, call.args.iter()),
            Named::Value(Ty::Unknown) => {
                let argument = || call.args.first().map_or(Ty::Unknown, |first| self.ty(first));
                let names = words(&path.path);
                match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    ["Some"] => Ty::other("Option", argument()),
                    ["Ok"] => Ty::other("Result", argument()),
                    ["Arc" | "Rc" | "Box", "new" | "clone" | "pin"] | [.., "mem", "take" | "replace"] => argument(),
                    [first @ ("Mutex" | "RwLock" | "RefCell" | "Cell" | "OnceCell"), "new"] => {
                        Ty::other(first, argument())
                    }
                    [.., ty, "new" | "default" | "from"] => Ty::Other((*ty).to_owned(), Vec::new()),
                    _ => Ty::Unknown,
                }
            }
            Named::Value(ty) => ty,
        }
    }

    /// What a function returns, with these arguments.
    pub(super) fn result<'e>(&self, function: &Function, arguments: impl Iterator<Item = &'e Expr>) -> Ty {
        let mut known = HashMap::new();
        for (wanted, given) in function.params.iter().zip(arguments) {
            wanted.unify(&self.ty(given), &mut known);
        }
        function.returns.filled(&known)
    }

    fn returned(&self, call: &ExprMethodCall) -> Ty {
        let receiver = self.ty(&call.receiver);
        let name = call.method.to_string();
        if let Ty::Local(def) = &receiver {
            return match self.types.method(def, &name) {
                Some(function) => self.result(function, call.args.iter()),
                None if name == "clone" || name == "as_ref" || name == "as_mut" => receiver,
                None => Ty::Unknown,
            };
        }
        let closure = call.args.iter().rev().find_map(|argument| match argument {
            Expr::Closure(closure) => {
                let given = super::library::given(&receiver, &name);
                Some(self.with(|inner| inner.closure(&given, closure)).ty(&closure.body))
            }
            Expr::Path(path) => match self.named(path) {
                Named::Function(function) => Some(function.returns.clone()),
                Named::Value(_) => None,
            },
            _ => None,
        });
        super::library::returned(&receiver, &name, closure.unwrap_or(Ty::Unknown))
    }

    /// Names the parameters of a closure that is called with `given`.
    pub(super) fn closure(&mut self, given: &[Ty], closure: &ExprClosure) {
        for (at, input) in closure.inputs.iter().enumerate() {
            self.bind(input, given.get(at).unwrap_or(&Ty::Unknown));
        }
    }

    /// Names what a `let` statement binds.
    pub(super) fn local(&mut self, local: &syn::Local) {
        let ty = local.init.as_ref().map_or(Ty::Unknown, |init| self.ty(&init.expr));
        self.bind(&local.pat, &ty);
    }

    /// Names what the `let`s in a condition bind.
    pub(super) fn condition(&mut self, condition: &Expr) {
        match condition {
            Expr::Let(condition) => {
                let ty = self.ty(&condition.expr);
                self.bind(&condition.pat, &ty);
            }
            Expr::Binary(both) => {
                self.condition(&both.left);
                self.condition(&both.right);
            }
            Expr::Paren(inner) => self.condition(&inner.expr),
            _ => (),
        }
    }

    /// Names what a pattern binds to a value of type `ty`.
    pub(super) fn bind(&mut self, pattern: &Pat, ty: &Ty) {
        match pattern {
            Pat::Ident(name) => {
                self.set(name.ident.to_string(), ty.clone());
                if let Some((_, inner)) = &name.subpat {
                    self.bind(inner, ty);
                }
            }
            Pat::Type(typed) => {
                let ty = self.place.lower(self.types, &typed.ty);
                self.bind(&typed.pat, &ty);
            }
            Pat::Reference(inner) => self.bind(&inner.pat, ty),
            Pat::Paren(inner) => self.bind(&inner.pat, ty),
            Pat::Or(cases) => cases.cases.iter().for_each(|case| self.bind(case, ty)),
            Pat::Tuple(tuple) => {
                for (at, part) in tuple.elems.iter().enumerate() {
                    self.bind(part, &self.types.field(ty, &at.to_string()));
                }
            }
            Pat::Slice(slice) => slice.elems.iter().for_each(|part| self.bind(part, &ty.inside())),
            Pat::TupleStruct(parts) => {
                let (def, variant) = self.constructed(&parts.path);
                for (at, part) in parts.elems.iter().enumerate() {
                    let ty = match &def {
                        Some(def) => self.types.part(def, variant.as_deref(), &at.to_string()),
                        None if parts.path.is_ident("Some") || parts.path.is_ident("Ok") => ty.inside(),
                        None => Ty::Unknown,
                    };
                    self.bind(part, &ty);
                }
            }
            Pat::Struct(parts) => {
                let (def, variant) = self.constructed(&parts.path);
                for FieldPat { member: name, pat, .. } in &parts.fields {
                    let part = |def| self.types.part(def, variant.as_deref(), &member(name));
                    let ty = def.as_ref().map_or(Ty::Unknown, part);
                    self.bind(pat, &ty);
                }
            }
            _ => (),
        }
    }

    /// The struct, or the enum and its variant, that a pattern or a literal names.
    fn constructed(&self, path: &Path) -> (Option<Def>, Option<String>) {
        let segments = words(path);
        let (def, rest) = match segments.split_first() {
            Some((first, rest)) if first == "Self" => match &self.place.self_type {
                Some(Ty::Local(def)) => (def.clone(), rest.to_vec()),
                _ => return (None, None),
            },
            _ => match self.types.names.resolve(&self.place.module, &segments) {
                Meaning::Item(def, rest) => (def, rest),
                _ => return (None, None),
            },
        };
        let def = match self.types.alias(&def) {
            Some((module, ty)) => match Place::new(module).lower(self.types, ty) {
                Ty::Local(def) => def,
                _ => return (None, None),
            },
            None => def,
        };
        (Some(def), rest.into_iter().next())
    }
}

fn words(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn member(member: &Member) -> String {
    match member {
        Member::Named(name) => name.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}
