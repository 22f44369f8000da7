//! Files that go with the application.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::app::App;
use crate::component::Component;

/// Which file it is, whatever its name: device and inode.
type Identity = (u64, u64);

impl App {
    /// A file, socket or directory (with all that is in it) that is removed when the stop has come to it, after all that come
    /// [`after`](Component::after) it, and also when a start fails. Who makes it, and when, is the application's business; a
    /// path where nothing is at the end is nothing to remove.
    ///
    /// What lies there when the application begins to serve is what is removed: if somebody else has put another file in its
    /// place since then (the next generation its own socket), that is left alone. A symbolic link is removed, not followed.
    pub fn temp_path(&self, path: impl Into<PathBuf>) -> Component<'_, PathBuf> {
        let path = path.into();
        let ours: Arc<OnceLock<Option<Identity>>> = Arc::default();
        let recorded = Arc::clone(&ours);
        self.component(format!("temporary {}", path.display()))
            .start(move |context| async move {
                let watched = path.clone();
                tokio::spawn(async move {
                    context.serving().await;
                    recorded.get_or_init(|| identity(&watched).ok().flatten());
                });
                Ok::<_, Infallible>(path)
            })
            .stop(move |path, _| async move {
                let ours = ours.get().copied().flatten();
                remove(&path, ours)
            })
    }
}

fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match fs::symlink_metadata(path) {
        Ok(of) => Ok(Some((of.dev(), of.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what is there, unless it is known to be somebody else's.
fn remove(path: &Path, ours: Option<Identity>) -> io::Result<()> {
    let Some(present) = identity(path)? else { return Ok(()) };
    if ours.is_some_and(|ours| ours != present) {
        return Ok(());
    }
    let removed = if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
