//! Reading an answer (RFC 9112), as it comes: no I/O, so that any cut of the bytes can be tested.

const LONGEST_HEAD: usize = 64 * 1024;
const LONGEST_LINE: usize = 16 * 1024;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it is there.
    Whole {
        status: u16,
        /// The connection can carry another request.
        keeps: bool,
    },
    /// What came is no answer.
    NotHttp,
}

/// How the body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// So many bytes are to come.
    Exact(u64),
    /// The line with the size of a chunk comes.
    ChunkSize,
    /// So many bytes of a chunk are to come.
    Chunk(u64),
    /// The end of line after a chunk comes.
    ChunkEnd,
    /// Lines up to an empty one come.
    Trailer,
    /// It ends where the connection does.
    UntilEnd,
}

/// What has come of one answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// A head or a line that is not complete.
    begun: Vec<u8>,
    /// After the head: status, whether the connection is kept, and where in the body we are.
    body: Option<(u16, bool, Body)>,
    any: bool,
    wanted: Wanted,
}

impl Answer {
    /// An answer in whose body `wanted` is looked for.
    pub(crate) fn new(wanted: Option<&str>) -> Self {
        let wanted = Wanted { text: wanted.unwrap_or_default().into(), tail: Vec::new(), found: false };
        Self { begun: Vec::new(), body: None, any: false, wanted }
    }

    /// Whether not one byte has come.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Whether the body contains what is wanted, chunks put together.
    pub(crate) fn is_as_wanted(&self) -> bool {
        self.wanted.found || self.wanted.text.is_empty()
    }

    /// Takes what has come; `Some` when that was the end. Nothing may be given to it afterwards.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<End> {
        self.any |= !bytes.is_empty();
        if self.body.is_some() {
            return self.feed_body(bytes);
        }
        self.begun.extend_from_slice(bytes);
        loop {
            match parse_head(&self.begun) {
                Head::Partial => return None,
                Head::NotHttp => return Some(End::NotHttp),
                Head::Interim(length) => drop(self.begun.drain(..length)),
                Head::Final { length, status, keeps, body } => {
                    let rest = self.begun.split_off(length);
                    self.begun.clear();
                    self.body = Some((status, keeps, body));
                    return self.feed_body(&rest);
                }
            }
        }
    }

    /// The connection has ended: `Some` when the answer ends so, `None` when it was cut off.
    pub(crate) fn close(&self) -> Option<End> {
        match self.body {
            Some((status, _, Body::UntilEnd)) => Some(End::Whole { status, keeps: false }),
            _ => None,
        }
    }

    fn feed_body(&mut self, mut bytes: &[u8]) -> Option<End> {
        loop {
            let (status, keeps, body) = self.body?;
            // More than the answer: that connection is of no use any more.
            let whole = |rest: &[u8]| Some(End::Whole { status, keeps: keeps && rest.is_empty() });
            let next = match body {
                Body::Exact(0) => return whole(bytes),
                Body::Chunk(0) => Body::ChunkEnd,
                _ if bytes.is_empty() => return None,
                Body::UntilEnd => {
                    self.wanted.look(bytes);
                    return None;
                }
                Body::Exact(left) => Body::Exact(self.wanted.take(&mut bytes, left)),
                Body::Chunk(left) => Body::Chunk(self.wanted.take(&mut bytes, left)),
                Body::ChunkSize | Body::ChunkEnd | Body::Trailer => {
                    let Some(line) = self.line(&mut bytes) else {
                        let wrong = self.begun.len() > LONGEST_LINE
                            || body == Body::ChunkEnd && !b"\r\n".starts_with(&self.begun);
                        return wrong.then_some(End::NotHttp);
                    };
                    match (body, line.as_slice()) {
                        (Body::Trailer, b"\r\n" | b"\n") => return whole(bytes),
                        (Body::Trailer, _) => Body::Trailer,
                        (Body::ChunkEnd, b"\r\n") => Body::ChunkSize,
                        (Body::ChunkSize, line) => match httparse::parse_chunk_size(line) {
                            Ok(httparse::Status::Complete((_, 0))) => Body::Trailer,
                            Ok(httparse::Status::Complete((_, size))) => Body::Chunk(size),
                            Ok(httparse::Status::Partial) | Err(_) => return Some(End::NotHttp),
                        },
                        _ => return Some(End::NotHttp),
                    }
                }
            };
            self.body = Some((status, keeps, next));
        }
    }

    /// Takes the rest of a line, its end included; `None` while that has not come.
    fn line(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        *bytes = rest;
        self.begun.extend_from_slice(line);
        end.map(|_| std::mem::take(&mut self.begun))
    }
}

/// A text that is looked for in what goes by.
#[derive(Debug)]
struct Wanted {
    text: Vec<u8>,
    /// The end of what went by: the text may begin there.
    tail: Vec<u8>,
    found: bool,
}

impl Wanted {
    /// Looks at up to `left` bytes and takes them; returns how many are still to come.
    fn take(&mut self, bytes: &mut &[u8], left: u64) -> u64 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (part, rest) = bytes.split_at(length);
        self.look(part);
        *bytes = rest;
        left - length as u64
    }

    fn look(&mut self, bytes: &[u8]) {
        if self.found || self.text.is_empty() {
            return;
        }
        self.tail.extend_from_slice(bytes);
        self.found = self.tail.windows(self.text.len()).any(|window| window == self.text);
        let keep = self.text.len() - 1;
        self.tail.drain(..self.tail.len().saturating_sub(keep));
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
        body: Body,
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
    let mut body = Body::UntilEnd;
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_ascii_lowercase();
        if header.name.eq_ignore_ascii_case("connection") {
            keeps = if value.contains("close") { false } else { keeps || value.contains("keep-alive") };
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") && value.ends_with("chunked") {
            body = Body::ChunkSize;
        } else if header.name.eq_ignore_ascii_case("content-length") && body != Body::ChunkSize {
            match value.parse() {
                Ok(length) => body = Body::Exact(length),
                Err(_) => return Head::NotHttp,
            }
        }
    }
    if matches!(status, 204 | 304) {
        body = Body::Exact(0);
    }
    Head::Final { length, status, keeps, body }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\n";

    /// Feeds an answer in these pieces, then closes.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, wanted: &str) -> (Option<End>, bool) {
        let mut answer = Answer::new(Some(wanted));
        let end = pieces.into_iter().find_map(|piece| answer.feed(piece)).or_else(|| answer.close());
        (end, answer.is_as_wanted())
    }

    fn whole(text: &str) -> Option<End> {
        read([text.as_bytes()], "").0
    }

    #[test]
    fn heads() {
        let end = |status, keeps| Some(End::Whole { status, keeps });
        assert_eq!(whole("HTTP/1.1 200 O"), None);
        assert_eq!(whole("SSH-2.0-OpenSSH\r\n"), Some(End::NotHttp));
        assert_eq!(whole(&format!("{OK}Content-Length: x\r\n\r\n")), Some(End::NotHttp));
        assert_eq!(whole(&format!("{OK}Connection: close\r\nContent-Length: 3\r\n\r\nabc")), end(200, false));
        assert_eq!(whole(&format!("{OK}Content-Length: 3\r\n\r\nabcd")), end(200, false));
        assert_eq!(whole("HTTP/1.0 200 OK\r\n\r\nabc"), end(200, false));
        assert_eq!(whole("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"), end(304, true));
        assert_eq!(
            whole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            end(404, true)
        );
    }

    #[test]
    fn chunks() {
        let chunked = |body: &str| whole(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n{body}"));
        let kept = Some(End::Whole { status: 200, keeps: true });
        assert_eq!(chunked("3\r\nabc\r\n0\r\n\r\n"), kept);
        assert_eq!(chunked("3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n"), kept);
        assert_eq!(chunked("3\r\nabc\r\n"), None);
        assert_eq!(chunked("zz\r\n"), Some(End::NotHttp));
        assert_eq!(chunked("1\r\nabcd"), Some(End::NotHttp));
    }

    #[test]
    fn a_text_is_found_across_chunks() {
        let text = format!("{OK}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n4\r\nlo w\r\n0\r\n\r\n");
        assert!(read([text.as_bytes()], "hello").1);
        assert!(!read([text.as_bytes()], "r\n4").1);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_an_answer_comes(
            chunks in proptest::collection::vec("[a-z\r\n]{1,20}", 0..4),
            length in any::<bool>(),
            cuts in proptest::collection::vec(0usize..200, 0..6),
            cut_off in proptest::option::of(0usize..200),
        ) {
            let body = chunks.concat();
            let text = if length {
                format!("{OK}Content-Length: {}\r\n\r\n{body}", body.len())
            } else {
                let chunks: String = chunks.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
                format!("{OK}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
            };
            let bytes = &text.as_bytes()[..cut_off.unwrap_or(text.len()).min(text.len())];
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let pieces = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let wanted = body.get(body.len() / 2..).unwrap_or_default();
            let (end, found) = read(pieces, wanted);
            if bytes.len() < text.len() {
                prop_assert_eq!(end, None);
            } else {
                prop_assert_eq!((end, found), (Some(End::Whole { status: 200, keeps: true }), true));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..5)) {
            let head = format!("{OK}Transfer-Encoding: chunked\r\n\r\n");
            for start in [&b""[..], head.as_bytes()] {
                let _end = read(std::iter::once(start).chain(pieces.iter().map(Vec::as_slice)), "x");
            }
        }
    }
}
