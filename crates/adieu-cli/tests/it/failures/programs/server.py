"""An HTTP server that can be told how to fail. It handles no signal: SIGTERM ends it in the middle of whatever it does.

GET /                    "generation N pid P", the word being the generation of ADIEU_GENERATION
GET /sleep/MS            the same, MS milliseconds later
GET /until/FILE          the same, when there is that file
GET /env/NAME            a variable, or "unset"
GET /bytes/COUNT/RATE    COUNT bytes, RATE of them a second
POST /                   the number of bytes in the body

Variables: PORT; BEFORE, seconds that it takes before it listens; WAITS, a file that it waits for before it listens; LOCK, a
file that only one process may have; SAY, words for standard output and error; TELLS, 1 if it sends READY=1 (sd_notify)
when it listens; FAULT, one of
    exit:CODE, kill:SIGNAL   it ends before it listens
    never                    it does not listen at all
    elsewhere:PORT           it listens there instead
    deaf                     it listens and takes no connection
    mute                     it takes connections and requests, and answers none
"""
import fcntl
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WHO = f"generation {os.environ.get('ADIEU_GENERATION')} pid {os.getpid()}"
FAULT, _, HOW = os.environ.get("FAULT", "").partition(":")


def wait_for(file):
    while not os.path.exists(file):
        time.sleep(0.01)


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, kind, *rest = self.path.split("/")
        if FAULT == "mute":
            time.sleep(1000)
        if kind == "bytes":
            return self.bytes(int(rest[0]), int(rest[1]))
        if kind == "sleep":
            time.sleep(int(rest[0]) / 1000)
        if kind == "until":
            wait_for(rest[0])
        self.answer(os.environ.get(rest[0], "unset") if kind == "env" else WHO)

    def do_POST(self):
        wanted, got = int(self.headers["Content-Length"]), 0
        while got < wanted:
            part = self.rfile.read1(min(65536, wanted - got))
            if not part:
                return
            got += len(part)
        self.answer(str(got))

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def bytes(self, count, rate):
        self.send_response(200)
        self.send_header("Content-Length", str(count))
        self.end_headers()
        began, sent = time.monotonic(), 0
        while sent < count:
            part = min(count - sent, max(1, rate // 50))
            self.wfile.write(b"x" * part)
            sent += part
            time.sleep(max(0, began + sent / rate - time.monotonic()))

    def log_message(self, *_):
        pass


if "SAY" in os.environ:
    print(os.environ["SAY"] + " on standard output", flush=True)
    print(os.environ["SAY"] + " on standard error", file=sys.stderr, flush=True)
if "LOCK" in os.environ:
    lock = open(os.environ["LOCK"], "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another one has the lock")
time.sleep(float(os.environ.get("BEFORE", "0")))
if "WAITS" in os.environ:
    wait_for(os.environ["WAITS"])
if FAULT == "exit":
    sys.exit(int(HOW))
if FAULT == "kill":
    os.kill(os.getpid(), int(HOW))
if FAULT == "never":
    signal.pause()
server = Server(("127.0.0.1", int(HOW if FAULT == "elsewhere" else os.environ["PORT"])), Handler)
if "TELLS" in os.environ:
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
if FAULT == "deaf":
    signal.pause()
server.serve_forever(poll_interval=60)
