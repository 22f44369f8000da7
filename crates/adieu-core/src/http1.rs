//! Just enough of HTTP/1 (RFC 9112) to recognize a whole request and to mark it as the last of its connection.

/// The longest request that is taken as a whole, in bytes, its content included.
pub const LONGEST: usize = 48 * 1024;

/// What the first bytes of a connection, or the bytes after an answer, are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begins {
    /// A whole request of this many bytes, and nothing after it.
    Request(usize),
    /// The beginning of a request: more has to come.
    Incomplete,
    /// A request that its program has to see itself: `Expect`, chunked or long content.
    Own,
    /// Something else: not HTTP/1, an upgrade to something else, several requests at once.
    Other,
}

/// Says what `bytes` begin with.
#[must_use]
pub fn classify(bytes: &[u8]) -> Begins {
    if !looks_like_request(bytes) {
        return Begins::Other;
    }
    let Some(end) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() > LONGEST { Begins::Own } else { Begins::Incomplete };
    };
    let (mut content, mut own) = (None, bytes.len() > LONGEST);
    for (name, value) in headers(bytes.get(..end).unwrap_or_default()) {
        if is(name, "upgrade") || is(name, "http2-settings") {
            return Begins::Other;
        }
        own |= is(name, "expect") || is(name, "transfer-encoding");
        if is(name, "content-length") {
            let digits = value.trim_ascii();
            let length = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
            match length.and_then(|value| value.parse::<usize>().ok()) {
                // Said twice, and differently: what that means is for its program to say (RFC 9112, 6.3).
                Some(length) if content.is_none_or(|before| before == length) => content = Some(length),
                _ => own = true,
            }
        }
    }
    let content = content.unwrap_or(0);
    if own || end + content.min(2 * LONGEST) > LONGEST {
        return Begins::Own;
    }
    match (end + content).cmp(&bytes.len()) {
        std::cmp::Ordering::Equal => Begins::Request(bytes.len()),
        std::cmp::Ordering::Greater => Begins::Incomplete,
        std::cmp::Ordering::Less => Begins::Other,
    }
}

/// An answer on its way through, until its head has been marked as the last of its connection: servers that are asked to
/// close do not all say that they will.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    head: Vec<u8>,
    passed: bool,
}

impl Answer {
    /// Takes the next bytes from the server and returns those for the client.
    #[must_use]
    pub fn next(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.passed {
            return bytes.to_vec();
        }
        self.head.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(end) = find(&self.head, b"\r\n\r\n").map(|at| at + 4) {
            let rest = self.head.split_off(end);
            let interim = self.head.starts_with(b"HTTP/1.1 1");
            let head = std::mem::replace(&mut self.head, rest);
            if interim {
                out.extend(head);
            } else {
                self.passed = true;
                out.extend(as_last(&head));
                break;
            }
        }
        if self.passed || self.head.len() > LONGEST {
            self.passed = true;
            out.append(&mut self.head);
        }
        out
    }

    /// What is left when the server has closed: an answer whose head never ended goes on as it came.
    #[must_use]
    pub fn end(&mut self) -> Vec<u8> {
        self.passed = true;
        std::mem::take(&mut self.head)
    }
}

/// The same request (or answer) with `Connection: close` instead of whatever it said about the connection, so that it is the
/// last on the connection.
#[must_use]
pub fn as_last(request: &[u8]) -> Vec<u8> {
    let end = find(request, b"\r\n\r\n").map_or(request.len(), |at| at + 2);
    let (head, rest) = request.split_at(end);
    let mut last = Vec::with_capacity(request.len() + 20);
    for line in head.split_inclusive(|b| *b == b'\n') {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        if !(is(name, "connection") || is(name, "keep-alive") || is(name, "proxy-connection")) {
            last.extend_from_slice(line);
        }
    }
    last.extend_from_slice(b"Connection: close\r\n");
    last.extend_from_slice(rest);
    last
}

/// Whether the bytes so far can be the beginning of `METHOD SP /`: methods are upper-case here, as servers have them.
fn looks_like_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|b| b.is_ascii_uppercase()).count();
    if method > 20 || method == 0 {
        return false;
    }
    let rest = bytes.get(method..).unwrap_or_default();
    if rest.is_empty() {
        return true;
    }
    // `PRI * HTTP/2.0` is the preface of HTTP/2 and has no slash here.
    let target = rest.first() == Some(&b' ') && rest.get(1).is_none_or(|b| *b == b'/' || *b == b'h');
    let line = rest.iter().position(|b| *b == b'\n').and_then(|at| rest.get(..at));
    target && line.is_none_or(|line| line.ends_with(b" HTTP/1.1\r") || line.ends_with(b" HTTP/1.0\r"))
}

fn headers(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|b| *b == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?))
    })
}

fn is(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_requests_and_everything_else() {
        let table: &[(&[u8], Begins)] = &[
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Begins::Request(27)),
            (b"POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", Begins::Request(42)),
            (b"POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", Begins::Incomplete),
            (b"POST /a HTTP/1.1\r\nContent-Length: x\r\n\r\n", Begins::Own),
            (b"GET / HTTP/1.1\r\nHost:", Begins::Incomplete),
            (b"GE", Begins::Incomplete),
            (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", Begins::Other),
            (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", Begins::Other),
            (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", Begins::Own),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Begins::Own),
            (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", Begins::Own),
            (b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\nab", Begins::Own),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nab", Begins::Own),
            (b"POST / HTTP/1.1\r\nContent-Length: 500000\r\n\r\nab", Begins::Own),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Begins::Other),
            (b"\x16\x03\x01\x02\x00", Begins::Other),
            (b"PING\r\n", Begins::Other),
            (b"", Begins::Other),
        ];
        for (bytes, begins) in table {
            assert_eq!(classify(bytes), *begins, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn every_beginning_of_a_request_is_incomplete() {
        let request = b"POST /path HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
        for end in 1..request.len() {
            assert_eq!(classify(&request[..end]), Begins::Incomplete, "{end}");
        }
    }

    #[test]
    fn an_answer_is_marked_wherever_it_is_cut() {
        let whole = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab\r\n\r\n";
        let marked = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab\r\n\r\n";
        for cut in 0..whole.len() {
            let mut answer = Answer::default();
            let mut out = answer.next(&whole[..cut]);
            out.extend(answer.next(&whole[cut..]));
            out.extend(answer.end());
            assert_eq!(out, marked, "cut at {cut}");
        }
    }

    #[test]
    fn a_last_request_says_close_once() {
        let last = as_last(b"GET / HTTP/1.1\r\nHost: x\r\nconnection: keep-alive\r\nKeep-Alive: 5\r\n\r\nbody");
        assert_eq!(last, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nbody");
    }
}
