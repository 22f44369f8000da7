//! Programs that look whether somebody listens on their Unix socket, and give up when somebody does.
//!
//! Puma, MariaDB and php-fpm connect to their path before they bind it, and find the generation before, or what is held of
//! it. So a generation that ends before it is ready, and before it has bound the Unix sockets that it is waited for, is
//! started once more, and its `connect` to those names is answered as if nobody were there (`connect`). From then on that goes for all
//! generations of this run. Nobody else's `connect` is looked at: it would wait for us.

use adieu_core::switch::Generation;

use super::Sockets;
use super::paths::Name;
use crate::options;
use crate::view::{Out, View};

impl Sockets {
    /// Whether `generation`, whose main process has ended by itself, deserves a second try: then it will find nobody.
    pub(crate) fn wants_second_try(&mut self, view: &View<'_>, generation: Generation) -> Option<Name> {
        let failed = view.switch.starting() == Some(generation) && !view.switch.is_stopping();
        if self.hides_paths || !failed || view.options.sockets != options::Sockets::Auto {
            return None;
        }
        let bound: Vec<&Name> = self.paths.of(generation).map(|listener| &listener.name).collect();
        let missed = self.wanted_paths(view, generation).into_iter().find(|name| !bound.contains(&name))?;
        self.hides_paths = true;
        Some(missed)
    }

    /// Closes what the first try of `generation` has left; what was held for it is held again.
    pub(crate) fn prepare_second_try(&mut self, view: &View<'_>, generation: Generation, out: &mut Out) {
        if view.serving_before(generation).is_none() {
            self.keep_listeners(generation, out);
        }
        self.close_all_of(generation, out);
        self.watched.remove(&generation);
    }
}
