//! Socket calls decided as values, and what is kept of them: against a machine and a process table that the test makes.

mod abandoned;
mod activation;
mod bench;
mod bind;
mod calls;
mod connect;
mod expected;
mod files;
mod groups;
mod hold;
mod inherited;
mod listen;
mod names;
mod path_bind;
mod replaced;
mod second_try;
mod state;
mod turn;
mod unseen;
