"""Takes its sockets from whoever started it, checks what it was told about them, and answers on each.

usage: takes.py systemd|starter|einhorn [COUNT]     (whose variables it reads)
"""
import asyncio
import os
import signal
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


async def serve():
    servers = [
        await asyncio.start_server(lambda r, w: conversation(r, w), sock=listener) for listener in listeners
    ]
    open_conversations = set()

    async def conversation(reader, writer):
        task = asyncio.current_task()
        open_conversations.add(task)
        await answers.converse(reader, writer, None)
        open_conversations.discard(task)

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    # Nothing new; what there is, is finished.
    for server in servers:
        server.close()
    # Those that were accepted in this turn of the loop become conversations in the next ones.
    await asyncio.sleep(0.2)
    while open_conversations:
        await asyncio.wait(open_conversations)


asyncio.run(serve())
