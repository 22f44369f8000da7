//! Linux system calls for adieu: the only crate with unsafe code. No judgement lives here.
