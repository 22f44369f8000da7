//! Three ways to restart an ordinary server, and what each of them loses.

mod acts;
mod place;
mod server;

pub use acts::{DemoError, demo};
pub use server::serve;
