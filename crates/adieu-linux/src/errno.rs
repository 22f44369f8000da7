//! Error numbers by name (`errno(3)`), for answers to other processes' system calls and for errors that need a decision.

pub use libc::{EADDRINUSE, EBUSY, ECONNREFUSED, EINVAL, EMFILE, ENFILE, EPERM, ESRCH};
