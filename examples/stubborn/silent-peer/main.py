import os
import signal
import socket
import sys

listener = socket.create_server(("127.0.0.1", 0))


def end(*_):
    with socket.create_connection(listener.getsockname()) as server:
        server.sendall(b"release the lease")
        server.recv(1)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
while True:
    signal.pause()
