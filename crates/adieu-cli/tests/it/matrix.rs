//! Whole-program reloads of every server under load: nobody is refused, reset or cut off.
//!
//! Half of the clients keep their connection and are never idle for longer than it takes to ask again; the other half
//! takes a fresh one for each request. That goes for the programs that handle no signal at all, too.

use crate::harness::{Adieu, Load, Server, count, for_each_server, get, the_machine};

/// Short, so that a reload is over soon; the defaults only wait longer for the same.
pub(crate) const OPTIONS: &[&str] = &["--settle", "500ms", "--drain-timeout", "3s", "--drain-quiet", "1s"];

fn reloads_without_loss(server: Server) {
    let _alone = the_machine();
    let adieu = Adieu::run(server, OPTIONS, &[], "/");
    let first = get(adieu.port().number(), "/").expect("the first generation answers");
    let load = Load { path: "/", reloads: count(5, 20), kept: 16 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let last = get(adieu.port().number(), "/").expect("the last generation answers");
    assert_ne!(first, last, "another process answers after a reload");
    adieu.stop();
}

for_each_server!(reloads_without_loss);
