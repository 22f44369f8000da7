//! Sans-IO state machines and wire formats of adieu: no I/O, no clock, no unsafe code.
