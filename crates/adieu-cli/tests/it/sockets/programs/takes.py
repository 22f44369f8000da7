"""Takes its sockets from whoever started it (LISTEN_FDS), checks what it was told about them, and answers on each."""
import os
import socket

import answers

assert int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ["LISTEN_PID"]
count = int(os.environ["LISTEN_FDS"])
assert len(os.environ["LISTEN_FDNAMES"].split(":")) == count
answers.serve(*[socket.socket(fileno=fd) for fd in range(3, 3 + count)])
