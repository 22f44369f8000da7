//! `adieu doctor` and `adieu stop` on programs that are not ours: stubborn ones, healthy ones, and pids that change hands.

mod case;
mod healthy;
mod many;
mod stopping;
mod stubborn;
