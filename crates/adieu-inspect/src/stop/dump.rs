//! What a process was doing before it is killed: what the kernel says of its threads, and what its runtime writes down when it
//! is asked to.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::facts::{Facts, bit};
use crate::judge::doing;
use crate::runtime::Effect;
use crate::target::Target;

/// How long a runtime is given to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes all of it into a file in `directory`, and returns its path.
pub(super) fn keep(target: &Target, case: &Case, directory: &Path) -> io::Result<PathBuf> {
    let facts = &case.facts;
    let now = adieu_linux::clock::wall().as_secs();
    let file = directory.join(format!("adieu-{}-{now}.dump", facts.pid));
    let mut out = File::create_new(&file)?;
    out.write_all(kernel_view(facts).as_bytes())?;
    let dump = case.runtime.and_then(|runtime| Some((runtime, runtime.dump()?)));
    if let Some((runtime, (signal, effect))) = dump
        && facts.caught & bit(signal) != 0
    {
        let told = match (runtime.id, effect) {
            ("jvm", _) => java(target, facts),
            (_, Effect::DumpAndEnd) => from_its_errors(target, facts),
            (_, _) => target.send(signal).map(|()| b"it was asked to write to its own output\n".to_vec()),
        };
        writeln!(out, "\n{} on {signal}:", runtime.label)?;
        match told {
            Ok(text) => out.write_all(&text)?,
            Err(error) => writeln!(out, "nothing: {error}")?,
        }
    }
    Ok(file)
}

fn kernel_view(facts: &Facts) -> String {
    let mut text = format!("pid {}: {}\n\nthreads, as the kernel sees them:\n", facts.pid, facts.title());
    for thread in &facts.threads {
        let _ = writeln!(text, "  {} {:?} state {}: {}", thread.id, thread.name, thread.state, doing(thread));
        for place in &thread.stack {
            let _ = writeln!(text, "      {place}");
        }
    }
    text
}

/// Java's own way for `jstack`: a file asks for it, SIGQUIT makes the JVM see that file, the answer comes over a socket that
/// it opens (hotspot/os/posix/attachListener_posix.cpp). Without that file SIGQUIT prints to the program's own output.
fn java(target: &Target, facts: &Facts) -> io::Result<Vec<u8>> {
    let inner = facts.pids.last().copied().unwrap_or(facts.pid.number());
    let temporary = PathBuf::from(format!("/proc/{}/root/tmp", facts.pid));
    let (ask, socket) = (temporary.join(format!(".attach_pid{inner}")), temporary.join(format!(".java_pid{inner}")));
    let mut asked = None;
    if !socket.exists() {
        // Never through a link that somebody has laid there.
        let file = File::create_new(&ask)?;
        let owner = fs::metadata(format!("/proc/{}", facts.pid))?;
        // It believes only files of its own user.
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        asked = Some(ask);
        target.send(adieu_core::signal::Signal::QUIT)?;
    }
    let answer = answer(&socket);
    if let Some(ask) = asked {
        // The JVM may have removed it.
        drop(fs::remove_file(ask));
    }
    answer
}

fn answer(socket: &Path) -> io::Result<Vec<u8>> {
    let began = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if began.elapsed() >= PATIENCE => return Err(error),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    // Version, command, three arguments.
    stream.write_all(b"1\0threaddump\0\0\0\0")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(text)
}

/// Go writes its goroutines to standard error and ends. Where that is a file, what it adds there is taken from it.
fn from_its_errors(target: &Target, facts: &Facts) -> io::Result<Vec<u8>> {
    let errors = File::open(format!("/proc/{}/fd/2", facts.pid)).ok();
    let file = errors.filter(|file| file.metadata().is_ok_and(|meta| meta.is_file()));
    let before = file.as_ref().map_or(0, |file| file.metadata().map_or(0, |meta| meta.len()));
    target.send(adieu_core::signal::Signal::QUIT)?;
    let ready = [(std::os::fd::AsFd::as_fd(target), adieu_linux::poll::Readiness::READ)];
    adieu_linux::poll::poll(&ready, Some(PATIENCE))?;
    let Some(mut file) = file else { return Ok(b"it was written to its standard error, which is no file\n".to_vec()) };
    file.seek(SeekFrom::Start(before))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}
