//! Drills of servers that lose on purpose.
