//! Settings of a server.

use std::time::Duration;

/// Settings of a server: how it serves, and how long it waits for what in a stop.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use adieu::App;
/// use adieu::serve::Serve;
///
/// let app = App::new("shop");
/// let settings = Serve::new()
///     .linger(Duration::from_millis(500))
///     // Behind a load balancer that asks every 5 s:
///     .lame_duck(Duration::from_secs(5), Duration::from_secs(15));
/// app.serve_with("api", ([127, 0, 0, 1], 0), axum::Router::new(), settings);
/// # drop(app);
/// ```
#[derive(Debug, Clone)]
pub struct Serve {
    pub(super) linger: Duration,
    pub(super) handshake: Duration,
    pub(super) header_timeout: Option<Duration>,
    pub(super) lame_duck: (Duration, Duration),
    #[cfg(feature = "tls")]
    pub(super) tls: Option<std::sync::Arc<tokio_rustls::rustls::ServerConfig>>,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(250),
            handshake: Duration::from_secs(1),
            header_timeout: None,
            lame_duck: (Duration::ZERO, Duration::ZERO),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Serve {
    /// Returns the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long idle connections stay open in a drain, in case a request is under way. Default: 250 ms.
    ///
    /// A stop with idle connections takes this long. Zero closes them at once, if nothing has come in.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// Sets how long a drain waits after the linger for a handshake, or for the rest of a request that has begun to
    /// arrive. Default: 1 s.
    #[must_use]
    pub fn handshake(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// Sets how long an HTTP/1 client may take for the headers of a request, idle time included. Default: no limit.
    #[must_use]
    pub fn header_timeout(self, header_timeout: Duration) -> Self {
        Self { header_timeout: Some(header_timeout), ..self }
    }

    /// Sets how long the server accepts connections after a stop has begun, for load balancers that need time to
    /// notice. Default: no time.
    ///
    /// It is at least `least`. After that, the server waits until no connection has come for half a second, but not
    /// longer than `most` in all.
    #[must_use]
    pub fn lame_duck(self, least: Duration, most: Duration) -> Self {
        Self { lame_duck: (least, most.max(least)), ..self }
    }

    /// Serves TLS. The configuration offers the protocols (`alpn_protocols`: `h2`, `http/1.1`).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, config: impl Into<std::sync::Arc<tokio_rustls::rustls::ServerConfig>>) -> Self {
        Self { tls: Some(config.into()), ..self }
    }

    /// The part of the settings that a stop needs.
    pub(super) fn stop_times(&self) -> StopTimes {
        let Self { linger, handshake, lame_duck, .. } = *self;
        #[cfg(feature = "tls")]
        let plain = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let plain = true;
        StopTimes { linger, handshake, lame_duck, leaves_idle: plain && linger.is_zero() }
    }
}

/// How long a stop waits for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopTimes {
    pub(super) linger: Duration,
    pub(super) handshake: Duration,
    pub(super) lame_duck: (Duration, Duration),
    /// Idle connections may end with the process: no linger, and no TLS, which says goodbye.
    pub(super) leaves_idle: bool,
}
