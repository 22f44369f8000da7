//! Drills of servers that lose on purpose and count what they lost.

mod classes;
mod lossy;
mod refusals;
