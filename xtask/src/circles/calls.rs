//! Which file calls a function of which, or hands one over to be called.
//!
//! A function is found by its path or, for `x.f(..)`, by the type of `x` where that is evident: `self`, a field, a parameter,
//! a variable, what a function returns, what a container of the standard library holds. Where it is not, a method counts that
//! only one file defines, unless its name is a common one.

use std::collections::HashMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, ExprCall, ExprClosure, ExprForLoop, ExprIf, ExprMatch, ExprMethodCall, ExprPath, ExprWhile,
    FnArg,
};
use syn::{ItemFn, ItemImpl, ItemTrait, Local, Macro, Signature};

use super::graph::Arrow;
use super::infer::{Context, Named};
use super::lower::{Place, Ty};
use super::read::{Module, Source};
use super::types::{Function, Types};
use super::{library, macros};

/// Every call of a crate from one file to another.
pub(super) fn arrows(source: &Source, types: &Types<'_>) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for module in &source.modules {
        let context = Context { types, place: Place::new(&module.path), variables: vec![HashMap::new()] };
        let mut calls = Calls { context, module, arrows: &mut arrows };
        module.items.iter().for_each(|item| calls.visit_item(item));
    }
    arrows
}

struct Calls<'a> {
    context: Context<'a>,
    module: &'a Module,
    arrows: &'a mut Vec<Arrow>,
}

impl Calls<'_> {
    fn call(&mut self, to: usize, item: String, line: usize) {
        if to != self.module.file {
            self.arrows.push(Arrow { from: self.module.file, to, item, line });
        }
    }

    /// Looks into something with its own variables.
    fn inside(&mut self, look: impl FnOnce(&mut Self)) {
        self.context.variables.push(HashMap::new());
        look(self);
        self.context.variables.pop();
    }

    /// Looks into something with its own `Self` and type parameters.
    fn at(&mut self, place: Place, look: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.context.place, place);
        self.inside(look);
        self.context.place = outer;
    }

    fn function(&mut self, signature: &Signature, body: &Block) {
        let place = self.context.place.clone().with(self.context.types, &signature.generics);
        self.at(place, |calls| {
            for input in &signature.inputs {
                match input {
                    FnArg::Receiver(_) => {
                        let self_type = calls.context.place.self_type.clone().unwrap_or(Ty::Unknown);
                        calls.context.variables.iter_mut().rev().take(1).for_each(|block| {
                            block.insert("self".to_owned(), self_type.clone());
                        });
                    }
                    FnArg::Typed(input) => {
                        let ty = calls.context.place.lower(calls.context.types, &input.ty);
                        calls.context.bind(&input.pat, &ty);
                    }
                }
            }
            calls.visit_block(body);
        });
    }

    /// The call of a method and, for each argument, what a closure in its place is called with.
    fn method_call(&mut self, call: &ExprMethodCall) -> Vec<Vec<Ty>> {
        let name = call.method.to_string();
        let line = call.method.span().start().line;
        let receiver = self.context.ty(&call.receiver);
        if let Ty::Local(def) = &receiver {
            let Some(function) = self.context.types.method(def, &name) else { return Vec::new() };
            self.call(function.file, function.item.clone(), line);
            return given(function);
        }
        if !library::COMMON.contains(&name.as_str())
            && let Some(file) = self.context.types.only_file(&receiver, &name)
        {
            self.call(file, format!(".{name}"), line);
        }
        vec![library::given(&receiver, &name); call.args.len()]
    }

    fn arguments<'e>(&mut self, arguments: impl Iterator<Item = &'e Expr>, given: &[Vec<Ty>]) {
        for (at, argument) in arguments.enumerate() {
            match argument {
                Expr::Closure(closure) => self.inside(|calls| {
                    calls.context.closure(given.get(at).map_or(&[], Vec::as_slice), closure);
                    calls.visit_expr(&closure.body);
                }),
                other => self.visit_expr(other),
            }
        }
    }
}

/// What closures in the place of a function's arguments are called with.
fn given(function: &Function) -> Vec<Vec<Ty>> {
    let given = function.params.iter().map(|param| match param {
        Ty::Closure(inputs) => inputs.clone(),
        _ => Vec::new(),
    });
    given.collect()
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        // A function inside of a function sees nothing of the outer one's variables.
        let outer = std::mem::replace(&mut self.context.variables, vec![HashMap::new()]);
        self.function(&item.sig, &item.block);
        self.context.variables = outer;
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let place = Place::new(&self.module.path).with(self.context.types, &item.generics);
        let self_type = place.lower(self.context.types, &item.self_ty);
        self.at(place.of(self_type), |calls| visit::visit_item_impl(calls, item));
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        let def = super::names::Def { module: self.module.path.clone(), name: item.ident.to_string() };
        let place = Place::new(&self.module.path).of(Ty::Local(def)).with(self.context.types, &item.generics);
        self.at(place, |calls| visit::visit_item_trait(calls, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.inside(|calls| visit::visit_block(calls, block));
    }

    fn visit_local(&mut self, local: &'ast Local) {
        visit::visit_local(self, local);
        self.context.local(local);
    }

    fn visit_expr_if(&mut self, branch: &'ast ExprIf) {
        self.inside(|calls| {
            calls.visit_expr(&branch.cond);
            calls.context.condition(&branch.cond);
            calls.visit_block(&branch.then_branch);
        });
        if let Some((_, other)) = &branch.else_branch {
            self.visit_expr(other);
        }
    }

    fn visit_expr_while(&mut self, round: &'ast ExprWhile) {
        self.inside(|calls| {
            calls.visit_expr(&round.cond);
            calls.context.condition(&round.cond);
            calls.visit_block(&round.body);
        });
    }

    fn visit_expr_for_loop(&mut self, round: &'ast ExprForLoop) {
        self.visit_expr(&round.expr);
        self.inside(|calls| {
            let each = calls.context.ty(&round.expr).each();
            calls.context.bind(&round.pat, &each);
            calls.visit_block(&round.body);
        });
    }

    fn visit_expr_match(&mut self, choice: &'ast ExprMatch) {
        self.visit_expr(&choice.expr);
        let of = self.context.ty(&choice.expr);
        for arm in &choice.arms {
            self.inside(|calls| {
                calls.context.bind(&arm.pat, &of);
                if let Some((_, guard)) = &arm.guard {
                    calls.visit_expr(guard);
                    calls.context.condition(guard);
                }
                calls.visit_expr(&arm.body);
            });
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.visit_expr(&call.receiver);
        let given = self.method_call(call);
        self.arguments(call.args.iter(), &given);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.visit_expr(&call.func);
        let function = match &*call.func {
            Expr::Path(path) => match self.context.named(path) {
                Named::Function(function) => given(function),
                Named::Value(_) => Vec::new(),
            },
            _ => Vec::new(),
        };
        self.arguments(call.args.iter(), &function);
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        self.inside(|calls| {
            calls.context.closure(&[], closure);
            calls.visit_expr(&closure.body);
        });
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        if let Named::Function(function) = self.context.named(path) {
            self.call(function.file, function.item.clone(), path.span().start().line);
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        macros::expressions(call).iter().for_each(|expression| self.visit_expr(expression));
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
