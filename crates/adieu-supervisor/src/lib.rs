//! The supervisor behind `adieu run`: one thread, one poll loop, generations of any program.
