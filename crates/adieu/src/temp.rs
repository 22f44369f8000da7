//! Files that are removed when the application stops.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::app::App;
use crate::component::Component;

/// Identifies a file whatever its name: device and inode.
type Identity = (u64, u64);

impl App {
    /// Registers a file, socket or directory (with its contents) that is removed in a stop, when everything that comes
    /// [`after`](Component::after) it has stopped, and also when a start fails.
    ///
    /// The application makes the path, when it likes. If nothing is there in the end, nothing is removed.
    ///
    /// Only the file that is there when the application begins to serve is removed. If another process has put a file
    /// of its own in its place since then (the next generation its socket), that file is left alone. A symbolic link is
    /// removed, not followed.
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

/// Removes the file at `path`, unless it is known to be another than `ours`.
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
