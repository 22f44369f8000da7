//! How far a drill is.

/// What a drill tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Restarts that have ended.
    pub restarts: usize,
    /// Of so many.
    pub of: usize,
    /// Requests that have ended.
    pub requests: usize,
    /// Of them lost.
    pub lost: usize,
}
