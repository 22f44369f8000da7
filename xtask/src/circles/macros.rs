//! What stands between the brackets of a macro call, as far as it is expressions.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Block, Expr, Macro, Stmt, Token};

/// The expressions in a macro call: `format!`'s and `assert!`'s arguments, a block's statements, and of every other macro
/// each part between two commas, semicolons or arrows that is one by itself.
pub(super) fn expressions(call: &Macro) -> Vec<Expr> {
    of_tokens(call.tokens.clone())
}

fn of_tokens(tokens: TokenStream) -> Vec<Expr> {
    if let Ok(list) = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens.clone()) {
        return list.into_iter().collect();
    }
    if let Ok(statements) = Block::parse_within.parse2(tokens.clone()) {
        return statements.into_iter().filter_map(expression).collect();
    }
    let mut found = Vec::new();
    for part in parts(tokens) {
        match syn::parse2::<Expr>(part.clone()) {
            Ok(expression) => found.push(expression),
            Err(_) => {
                let groups = part.into_iter().filter_map(|token| match token {
                    TokenTree::Group(group) => Some(group.stream()),
                    _ => None,
                });
                found.extend(groups.flat_map(of_tokens));
            }
        }
    }
    found
}

fn expression(statement: Stmt) -> Option<Expr> {
    match statement {
        Stmt::Expr(expression, _) => Some(expression),
        Stmt::Local(local) => local.init.map(|init| *init.expr),
        _ => None,
    }
}

/// Cuts at `,`, `;`, `=`, and `=>`.
fn parts(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    let mut cut = false;
    for token in tokens {
        let punct = match &token {
            TokenTree::Punct(punct) => Some((punct.as_char(), punct.spacing())),
            _ => None,
        };
        match punct {
            Some((',' | ';', _)) | Some(('=', Spacing::Alone)) => parts.push(TokenStream::new()),
            Some(('=', Spacing::Joint)) => cut = true,
            Some(('>', _)) if cut => {
                cut = false;
                parts.push(TokenStream::new());
            }
            _ => {
                cut = false;
                if let Some(last) = parts.last_mut() {
                    last.extend([token]);
                }
            }
        }
    }
    parts
}
