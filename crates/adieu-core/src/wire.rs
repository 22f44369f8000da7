//! What clients and the supervisor say to each other over the control socket: one JSON object per line.
//!
//! A client sends one [`Request`] and reads [`Reply`] lines until one of them is [`Reply::Done`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::address::Endpoint;
use crate::ids::{Pid, zero_for_none};
use crate::outcome::Outcome;
use crate::signal::Signal;
use crate::switch::{Generation, Phase, Step};
use crate::timeline::Entry;

/// The longest request line that a supervisor reads, in bytes. Longer ones are refused.
pub const LONGEST_REQUEST: usize = 256 * 1024;

/// The variable by which a program learns whether its idle connections may be held by its supervisor, too, to answer their next
/// requests by the next generation: `yes` or `no`. A server that closes such a connection does so without an end of its own
/// (`shutdown(2)`), which its client would see.
pub const PARKS: &str = "ADIEU_PARKS";

/// The field by which a program says, with READY=1 (sd_notify(3)), that on its stop signal it ends all its connections itself
/// without a loss: those that never look finished from outside (WebSockets, streams) are left to it then. Its value is 1.
pub const DRAINS: &str = "X_ADIEU_DRAINS";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Replace the program.
    Reload {
        /// When to answer.
        wait: Wait,
        /// Variables to set for the new generation and those after it.
        #[serde(default)]
        set: BTreeMap<String, String>,
        /// Variables to remove.
        #[serde(default)]
        unset: Vec<String>,
        /// A new command line.
        #[serde(default)]
        command: Option<Vec<String>>,
    },
    /// Say what runs.
    Status {},
    /// Stop everything gracefully and answer when it is gone.
    Stop {},
    /// Send a signal to the main process of the serving generation.
    Send {
        /// Which one.
        signal: Signal,
    },
    /// Say what happened.
    Timeline {},
}

/// When a reload is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// As soon as new connections go to the new generation.
    Switched,
    /// When the old one is not needed as a fallback any more.
    #[default]
    Settled,
    /// When the old one is gone.
    Drained,
}

/// A request that could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// Not the JSON that is expected.
    #[error("not a request of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Not a name that a variable can have.
    #[error("{0:?} is not the name of a variable")]
    VariableName(String),
    /// No end of line within the limit.
    #[error("a request line is at most {LONGEST_REQUEST} bytes")]
    TooLong,
}

impl Request {
    /// Reads a request line.
    ///
    /// # Errors
    /// [`BadRequest`] for anything else; never panics, whatever the bytes.
    pub fn parse(line: &[u8]) -> Result<Self, BadRequest> {
        if line.len() > LONGEST_REQUEST {
            return Err(BadRequest::TooLong);
        }
        let request: Self = serde_json::from_slice(line)?;
        if let Self::Reload { set, unset, .. } = &request
            && let Some(name) = set.keys().chain(unset).find(|name| !is_variable_name(name))
        {
            return Err(BadRequest::VariableName(name.clone()));
        }
        Ok(request)
    }
}

/// Whether a variable of the environment can have this name (`environ(7)`).
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum Reply {
    /// How far a reload is.
    Progress {
        /// The step.
        step: Step,
        /// The same for people.
        text: String,
    },
    /// What runs.
    Status(Status),
    /// What happened.
    Timeline {
        /// Entries, oldest first.
        entries: Vec<Entry>,
        /// How many older ones were dropped.
        dropped: u64,
        /// Seconds since the epoch at `Timestamp` zero.
        epoch: f64,
    },
    /// The request is over.
    Done {
        /// The client's exit code.
        code: i32,
        /// What to tell people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The end of the program's output, where it explains the failure.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        output: Vec<String>,
    },
}

/// What runs under one supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the instance.
    pub name: String,
    /// Pid of the supervisor.
    pub pid: Pid,
    /// Command of the serving generation.
    pub command: Vec<String>,
    /// Seconds since the supervisor started.
    pub uptime: f64,
    /// How sockets are handled: auto, pass or off.
    pub sockets: String,
    /// What does not work as it should, for people.
    pub notes: Vec<String>,
    /// Generations, oldest first.
    pub generations: Vec<GenerationStatus>,
}

/// What is known of one generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: Generation,
    /// Where it stands.
    pub phase: Phase,
    /// Whether it has been ready.
    pub ready: bool,
    /// Main process; 0 on the wire when it has ended.
    #[serde(with = "zero_for_none")]
    pub pid: Option<Pid>,
    /// All its processes.
    pub pids: Vec<Pid>,
    /// Seconds since it was started.
    pub uptime: f64,
    /// How its main process ended, if it has.
    pub outcome: Option<Outcome>,
    /// Where it listens.
    pub listeners: Vec<ListenerStatus>,
    /// Its Unix listeners.
    #[serde(default)]
    pub paths: Vec<PathStatus>,
    /// Its connections by class.
    pub connections: ConnectionCounts,
}

/// One listening address of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// The address.
    pub endpoint: Endpoint,
    /// Connections waiting to be accepted.
    pub queue: u32,
    /// Whether new connections go here.
    pub target: bool,
}

/// One Unix listener of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// Its name: `unix:/path`, or `unix:@name` for an abstract one.
    pub path: String,
    /// Whether a connection waits to be accepted.
    pub waited_for: bool,
    /// Whether new connections go here.
    pub target: bool,
}

/// Connections by what the kernel shows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Owed an answer.
    pub owed: usize,
    /// Cannot be told.
    pub unknown: usize,
    /// Quiet.
    pub quiet: usize,
    /// Owed an answer, but nothing has moved for long.
    pub expired: usize,
}

/// The line for a reply, newline included.
#[must_use]
pub fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The time of a timeline entry as seconds since the epoch.
#[must_use]
pub fn wall_time(epoch: f64, at: Timestamp) -> f64 {
    epoch + at.since_origin().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::time::Duration;

    use super::*;
    use crate::switch::{Action, Event, Failure, RequestId};
    use crate::timeline::Record;

    #[test]
    fn requests_are_written_as_documented() {
        let reload = Request::parse(br#"{"do":"reload","wait":"drained","set":{"K":"V"},"command":["a","b"]}"#);
        let Ok(Request::Reload { wait: Wait::Drained, set, unset, command }) = reload else { panic!("{reload:?}") };
        assert_eq!((set.len(), unset.len(), command.map(|c| c.len())), (1, 0, Some(2)));
        assert_eq!(
            Request::parse(br#"{"do":"send","signal":"SIGHUP"}"#).ok(),
            Some(Request::Send { signal: Signal::HUP })
        );
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        for line in [&b""[..], b"{", b"\xff\xfe", b"[]", b"{\"do\":\"explode\"}", b"{\"do\":\"stop\",\"x\":1}"] {
            assert!(Request::parse(line).is_err(), "{line:?}");
        }
        assert!(matches!(Request::parse(&vec![b' '; LONGEST_REQUEST + 1]), Err(BadRequest::TooLong)));
    }

    #[test]
    fn generations_and_requests_are_bare_numbers_in_json() {
        let generation = Generation::new(2);
        let request = RequestId::new(7);
        let at = Timestamp::from_origin(Duration::from_micros(1_500));
        let outcome = Outcome::Exited(0);
        let entries = [
            (Record::Input(Event::Reload(request)), r#"{"at":1500,"what":{"input":{"reload":7}}}"#),
            (
                Record::Input(Event::MainExited(generation, outcome)),
                r#"{"at":1500,"what":{"input":{"main_exited":[2,{"exited":0}]}}}"#,
            ),
            (
                Record::Output(Action::Spawn(generation, Some(request))),
                r#"{"at":1500,"what":{"output":{"spawn":[2,7]}}}"#,
            ),
            (Record::Output(Action::Spawn(generation, None)), r#"{"at":1500,"what":{"output":{"spawn":[2,null]}}}"#),
            (
                Record::Output(Action::Progress(request, Step::Failed(Failure::NotReady(generation)))),
                r#"{"at":1500,"what":{"output":{"progress":[7,{"failed":{"not_ready":2}}]}}}"#,
            ),
        ];
        for (what, written) in entries {
            assert_reads_and_writes(&Entry { at, what }, written);
        }
        let status = GenerationStatus {
            generation,
            phase: Phase::Serving,
            ready: true,
            pid: Some(Pid::new(10)),
            pids: vec![Pid::new(10), Pid::new(11)],
            uptime: 0.5,
            outcome: None,
            listeners: Vec::new(),
            paths: Vec::new(),
            connections: ConnectionCounts::default(),
        };
        assert_reads_and_writes(
            &status,
            r#"{"generation":2,"phase":"serving","ready":true,"pid":10,"pids":[10,11],"uptime":0.5,"outcome":null,"listeners":[],"paths":[],"connections":{"owed":0,"unknown":0,"quiet":0,"expired":0}}"#,
        );
        assert_reads_and_writes(
            &Reply::Progress { step: Step::Switched(generation), text: Step::Switched(generation).text() },
            r#"{"say":"progress","step":{"switched":2},"text":"generation 2 serves"}"#,
        );
    }

    fn assert_reads_and_writes<T: Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(
        value: &T,
        written: &str,
    ) {
        let text = serde_json::to_string(value).expect("it can be written");
        assert_eq!(text, written);
        let read: T = serde_json::from_str(&text).expect("and read");
        assert_eq!(read, *value);
    }
}
