//! One request and its answer on one connection (RFC 9112), classified by what really came.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::class::{Class, RACE};

const LONGEST_HEAD: usize = 64 * 1024;

/// How an exchange ended, and whether the connection can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) class: Class,
    pub(crate) reusable: bool,
}

impl Ended {
    fn with(class: Class) -> Self {
        Self { class, reusable: false }
    }
}

/// Sends `request` and reads its answer. `reused`: the connection has carried another request before.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    reused: bool,
    timeout: Duration,
    expect: Option<&str>,
) -> Ended {
    let began = Instant::now();
    let mut answer = Answer::default();
    let attempt = async {
        stream.write_all(request).await?;
        answer.read(stream).await
    };
    match tokio::time::timeout(timeout, attempt).await {
        Err(_) => Ended::with(Class::Timeout),
        Ok(Ok(End::Whole { status, keeps })) => {
            let fits = expect.is_none_or(|text| answer.body_contains(text.as_bytes()));
            let class = match status {
                500.. => Class::ServerError,
                _ if fits => Class::Ok,
                _ => Class::WrongBody,
            };
            Ended { class, reusable: keeps && class != Class::WrongBody }
        }
        Ok(Ok(End::NotHttp)) => Ended::with(Class::WrongBody),
        Ok(Ok(End::Closed)) if answer.bytes.is_empty() => {
            let raced = reused && was_reset(stream).await;
            Ended::with(if raced { Class::Race } else { Class::Reset })
        }
        Ok(Err(_)) if answer.bytes.is_empty() => {
            let raced = reused && began.elapsed() <= RACE;
            Ended::with(if raced { Class::Race } else { Class::Reset })
        }
        Ok(Ok(End::Closed) | Err(_)) => Ended::with(Class::Cut),
    }
}

/// After a FIN: does a reset follow? Then the FIN had been sent before our request arrived, and nobody has read it.
async fn was_reset(stream: &mut TcpStream) -> bool {
    let deadline = Instant::now() + RACE;
    loop {
        // SO_ERROR: a reset after a FIN shows as EPIPE.
        if stream.take_error().ok().flatten().is_some() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

enum End {
    Whole {
        status: u16,
        keeps: bool,
    },
    /// End of file before the answer was whole.
    Closed,
    NotHttp,
}

/// How long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Exact(usize),
    Chunked,
    UntilEnd,
}

#[derive(Debug, Default)]
struct Answer {
    bytes: Vec<u8>,
    body_at: usize,
}

impl Answer {
    fn body_contains(&self, text: &[u8]) -> bool {
        let body = self.bytes.get(self.body_at..).unwrap_or_default();
        text.is_empty() || body.windows(text.len()).any(|window| window == text)
    }

    async fn more(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match stream.read(&mut buffer).await {
                Ok(length) => {
                    self.bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&mut self, stream: &mut TcpStream) -> io::Result<End> {
        loop {
            match parse_head(self.bytes.get(self.body_at..).unwrap_or_default()) {
                Head::NotHttp => return Ok(End::NotHttp),
                Head::Interim(length) => self.body_at += length,
                Head::Final { length, status, keeps, body } => {
                    self.body_at += length;
                    return self.read_body(stream, status, keeps, body).await;
                }
                Head::Partial => {
                    if !self.more(stream).await? {
                        return Ok(End::Closed);
                    }
                }
            }
        }
    }

    async fn read_body(&mut self, stream: &mut TcpStream, status: u16, keeps: bool, length: Length) -> io::Result<End> {
        loop {
            let body = self.bytes.get(self.body_at..).unwrap_or_default();
            match length {
                Length::Exact(length) if body.len() >= length => {
                    let exact = body.len() == length;
                    return Ok(End::Whole { status, keeps: keeps && exact });
                }
                Length::Chunked => match chunks_end(body) {
                    Chunks::Whole(end) => return Ok(End::Whole { status, keeps: keeps && end == body.len() }),
                    Chunks::Bad => return Ok(End::NotHttp),
                    Chunks::Partial => {}
                },
                Length::Exact(_) | Length::UntilEnd => {}
            }
            if !self.more(stream).await? {
                return Ok(if length == Length::UntilEnd { End::Whole { status, keeps: false } } else { End::Closed });
            }
        }
    }
}

enum Head {
    Partial,
    NotHttp,
    /// A 1xx answer of this length; the final one follows.
    Interim(usize),
    Final {
        length: usize,
        status: u16,
        keeps: bool,
        body: Length,
    },
}

fn parse_head(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() <= LONGEST_HEAD => return Head::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Head::NotHttp,
    };
    let status = response.code.unwrap_or(0);
    if (100..200).contains(&status) {
        return Head::Interim(length);
    }
    let mut keeps = response.version == Some(1);
    let mut body = if matches!(status, 204 | 304) { Length::Exact(0) } else { Length::UntilEnd };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_ascii_lowercase();
        if header.name.eq_ignore_ascii_case("connection") {
            keeps = if value.contains("close") { false } else { keeps || value.contains("keep-alive") };
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") && value.ends_with("chunked") {
            body = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("content-length") && body != Length::Chunked {
            match value.parse() {
                Ok(length) => body = Length::Exact(length),
                Err(_) => return Head::NotHttp,
            }
        }
    }
    Head::Final { length, status, keeps, body }
}

#[derive(Debug, PartialEq, Eq)]
enum Chunks {
    Partial,
    Bad,
    /// The body ends here.
    Whole(usize),
}

/// Finds the end of a chunked body (RFC 9112, 7.1).
fn chunks_end(body: &[u8]) -> Chunks {
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Partial) => return Chunks::Partial,
            Err(_) => return Chunks::Bad,
            Ok(httparse::Status::Complete((line, 0))) => return trailer_end(body, at + line),
            Ok(httparse::Status::Complete((line, size))) => {
                let Some(end) = usize::try_from(size).ok().and_then(|size| size.checked_add(at + line)) else {
                    return Chunks::Bad;
                };
                match body.get(end..end + 2) {
                    Some(b"\r\n") => at = end + 2,
                    Some(_) => return Chunks::Bad,
                    None => return Chunks::Partial,
                }
            }
        }
    }
}

fn trailer_end(body: &[u8], at: usize) -> Chunks {
    let rest = body.get(at..).unwrap_or_default();
    if rest.starts_with(b"\r\n") {
        return Chunks::Whole(at + 2);
    }
    rest.windows(4).position(|window| window == b"\r\n\r\n").map_or(Chunks::Partial, |end| Chunks::Whole(at + end + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        assert!(matches!(parse_head(b"HTTP/1.1 200 O"), Head::Partial));
        assert!(matches!(parse_head(b"SSH-2.0-OpenSSH\r\n"), Head::NotHttp));
        assert!(matches!(parse_head(b"HTTP/1.1 100 Continue\r\n\r\n"), Head::Interim(25)));
        assert!(matches!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), Head::NotHttp));
        let close = parse_head(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n");
        assert!(matches!(close, Head::Final { status: 200, keeps: false, body: Length::Exact(3), .. }));
        let old = parse_head(b"HTTP/1.0 200 OK\r\n\r\n");
        assert!(matches!(old, Head::Final { keeps: false, body: Length::UntilEnd, .. }));
    }

    #[test]
    fn chunked_bodies_end_where_they_end() {
        let whole = b"3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(chunks_end(&whole[..cut]), Chunks::Partial, "{cut}");
        }
        assert_eq!(chunks_end(whole), Chunks::Whole(whole.len()));
        assert_eq!(chunks_end(b"0\r\nA: b\r\n\r\n"), Chunks::Whole(11));
        assert_eq!(chunks_end(b"zz\r\n"), Chunks::Bad);
        assert_eq!(chunks_end(b"1\r\nabcd"), Chunks::Bad);
    }
}
