use std::time::Duration;

/// How a server serves and stops.
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
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long idle connections stay open in a drain, in case a request is under way. Default: 250 ms. Zero closes them
    /// at once, if nothing has come in.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// How long a drain waits, after the linger, for a handshake or for the rest of a request whose beginning has come.
    /// Default: 1 s.
    #[must_use]
    pub fn handshake(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// How long an HTTP/1 client may take for the headers of a request, idle time included. Default: no limit.
    #[must_use]
    pub fn header_timeout(self, header_timeout: Duration) -> Self {
        Self { header_timeout: Some(header_timeout), ..self }
    }

    /// How long the server goes on accepting when a stop begins: at least `least`, and then until no new connection has
    /// come for a moment, at most `most`. For load balancers that need time to notice. Default: no time.
    #[must_use]
    pub fn lame_duck(self, least: Duration, most: Duration) -> Self {
        Self { lame_duck: (least, most.max(least)), ..self }
    }

    /// Serves TLS. The configuration decides which protocols are offered (`alpn_protocols`: `h2`, `http/1.1`).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, config: impl Into<std::sync::Arc<tokio_rustls::rustls::ServerConfig>>) -> Self {
        Self { tls: Some(config.into()), ..self }
    }

    /// What a stop needs to know of it.
    pub(super) fn stop_times(&self) -> StopTimes {
        let Self { linger, handshake, lame_duck, .. } = *self;
        #[cfg(feature = "tls")]
        let plain = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let plain = true;
        StopTimes { linger, handshake, lame_duck, leaves_idle: plain && linger.is_zero() }
    }
}

/// The times of a stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopTimes {
    pub(super) linger: Duration,
    pub(super) handshake: Duration,
    pub(super) lame_duck: (Duration, Duration),
    /// Idle connections need no farewell; TLS has one of its own.
    pub(super) leaves_idle: bool,
}
