"""Answers on a Unix socket, and does with its path what one or another server does.

usage: paths.py WAY STOP [mode=OCTAL] [@] [late]
       WAY: binds - it only binds; unlinks - it unlinks the path before; moves - it binds a name with its pid and renames it;
            private - the path is in a directory that it has made for itself
       STOP: leaves - it leaves the path there; unlinks - it unlinks it by its path; own - by what getsockname says
       @: the socket has an abstract name; late: it listens on PORT first, and on its path when somebody has connected there
Asked to stop, it takes nothing new and finishes what it has.
"""
import os
import select
import signal
import socket
import sys
import tempfile
import threading

import answers

way, stop, *rest = sys.argv[1:]
path = "\0adieu-test-" + str(answers.PORT) if "@" in rest else os.path.abspath("socket")
if way == "private":
    path = os.path.join(tempfile.mkdtemp(dir="."), "socket")
if "late" in rest:
    early = socket.create_server(("127.0.0.1", answers.PORT))
    early.accept()[0].close()
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
if way == "unlinks" and os.path.exists(path):
    os.unlink(path)
bound = path + "." + str(os.getpid()) if way == "moves" else path
listener.bind(bound)
if way == "moves":
    os.rename(bound, path)
for word in rest:
    if word.startswith("mode="):
        os.chmod(path, int(word[5:], 8))
listener.listen(128)
print("listens on", listener.getsockname(), flush=True)

woken, waker = socket.socketpair()
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
listener.setblocking(False)


def converse(connection):
    with connection:
        connection.setblocking(True)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            got = connection.recv(65536)
            if not got:
                return
            request += got
        if request.split()[1] == b"/die":
            os._exit(3)
        body = f"generation {answers.GENERATION}\n".encode()
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


threads = []
while woken not in select.select([listener, woken], [], [])[0]:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    threads = [thread for thread in threads if thread.is_alive()]
    threads.append(threading.Thread(target=converse, args=(connection,)))
    threads[-1].start()
own = listener.getsockname()
listener.close()
if stop == "unlinks":
    os.unlink(path)
elif stop == "own":
    os.unlink(own)
for thread in threads:
    thread.join()
