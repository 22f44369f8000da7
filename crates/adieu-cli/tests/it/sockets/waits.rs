//! Busy connections of programs that read without O_NONBLOCK, and only when they are told that there is something: they are
//! taken over, too.

use super::{c, it, python};
use crate::harness::{Load, the_machine};

fn reloads_without_loss(program: &[String]) {
    let _alone = the_machine();
    let adieu = it().program(program).serving();
    let ends = Load { path: "/", reloads: 2, kept: 16 }.run(&adieu);
    ends.assert_nothing_lost(&adieu);
    let timeline = adieu.timeline();
    // Not because they were waited for: nothing of them was left to be waited for.
    assert!(!timeline.contains("stopped while"), "{timeline}");
    assert!(timeline.contains("were answered by the next one"), "{timeline}");
    adieu.end();
}

#[test]
fn one_that_selects_and_reads() {
    reloads_without_loss(&python("selects.py"));
}

#[test]
fn one_that_reads_by_io_uring() {
    reloads_without_loss(&[c("rings")]);
}
