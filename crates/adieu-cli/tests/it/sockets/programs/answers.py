"""What the programs here have in common: each does something unusual with its sockets, then answers like any server.

Every answer names the generation that gives it. Nothing is done about signals.
"""
import os
import random
import socket
import threading
import time

GENERATION = os.environ.get("ADIEU_GENERATION", "0")
PORT = int(os.environ.get("PORT", "0"))


def listening(host="127.0.0.1", port=PORT, family=socket.AF_INET, options=()):
    """A listening socket; `options` are set before it is bound."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for level, name, value in options:
        listener.setsockopt(level, name, value)
    listener.bind((host, port))
    listener.listen(1024)
    return listener


def converse(connection, heard=None):
    try:
        with connection:
            while True:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    got = connection.recv(65536)
                    if not got:
                        return
                    request += got
                path = request.split()[1].decode()
                if heard:
                    heard(path)
                time.sleep(random.uniform(0, 0.01))
                body = f"generation {GENERATION}\n".encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                connection.sendall(head + body)
                if b"connection: close" in request.lower():
                    return
    except OSError:
        pass


def serve(*listeners, heard=None):
    """Accepts for ever, a thread for each listener and each connection."""

    def accept(listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=(connection, heard), daemon=True).start()

    for listener in listeners[1:]:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    accept(listeners[0])
