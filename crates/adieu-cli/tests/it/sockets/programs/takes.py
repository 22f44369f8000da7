"""Takes its sockets from whoever started it, checks what it was told about them, and answers on each.

usage: takes.py systemd|starter|einhorn [COUNT]     (whose variables it reads)
"""
import os
import socket
import sys

import answers

way = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
if way == "systemd":
    assert int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ["LISTEN_PID"]
    assert len(os.environ["LISTEN_FDNAMES"].split(":")) == count, os.environ["LISTEN_FDNAMES"]
    print("names", os.environ["LISTEN_FDNAMES"], flush=True)
    fds = range(3, 3 + int(os.environ["LISTEN_FDS"]))
elif way == "starter":
    assert os.environ["SERVER_STARTER_GENERATION"] == answers.GENERATION
    pairs = [pair.rsplit("=", 1) for pair in os.environ["SERVER_STARTER_PORT"].split(";")]
    fds = [int(fd) for _, fd in pairs]
    for address, fd in pairs:
        # As Server::Starter's clients read it: "host:port" or "port".
        assert int(address.rsplit(":", 1)[-1]) == socket.socket(fileno=os.dup(fds[0])).getsockname()[1] or count > 1
else:
    fds = [int(os.environ[f"EINHORN_FD_{at}"]) for at in range(int(os.environ["EINHORN_FD_COUNT"]))]
assert len(fds) == count, fds
listeners = [socket.socket(fileno=fd) for fd in fds]
answers.serve(*listeners)
