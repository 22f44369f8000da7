//! The supervisor's side of `sd_notify(3)`.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Receives what a service says by `sd_notify(3)`, as systemd does.
///
/// Give its [`path`](Self::path) as `NOTIFY_SOCKET` to a service that runs in a process of its own.
///
/// ```
/// use std::time::Duration;
///
/// let systemd = adieu::testing::NotifySocket::bind()?;
/// let service = std::os::unix::net::UnixDatagram::unbound()?;
/// service.send_to(b"READY=1\nSTATUS=serving", systemd.path())?;
/// let said = systemd.next(Duration::from_secs(10))?;
/// assert_eq!(said, ["READY=1", "STATUS=serving"]);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl NotifySocket {
    /// Opens the socket in the directory for temporary files.
    ///
    /// # Errors
    ///
    /// Errors of `bind(2)`.
    pub fn bind() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("adieu-notify-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        match std::fs::remove_file(&path) {
            // A process with the same pid has left it behind.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { socket: UnixDatagram::bind(&path)?, path })
    }

    /// Returns the path for `NOTIFY_SOCKET`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lines of the next message.
    ///
    /// # Errors
    ///
    /// `WouldBlock` or `TimedOut` when no message comes in time.
    pub fn next(&self, wait: Duration) -> io::Result<Vec<String>> {
        self.socket.set_read_timeout(Some(wait))?;
        let mut message = vec![0; 64 * 1024];
        let length = self.socket.recv(&mut message)?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        // Fails only if the test has removed it.
        let _removed = std::fs::remove_file(&self.path);
    }
}
