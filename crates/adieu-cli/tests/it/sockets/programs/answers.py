"""What the programs here have in common: each does something unusual with its sockets, then answers like any server.

Every answer names the generation that gives it. Nothing is done about signals.
"""
import asyncio
import os
import random
import socket

GENERATION = os.environ.get("ADIEU_GENERATION", "0")
PORT = int(os.environ.get("PORT", "0"))
HOST = os.environ.get("HOST", "127.0.0.1")


def listening(host=HOST, port=PORT, family=socket.AF_INET, options=()):
    """A listening socket; `options` are set before it is bound."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for level, name, value in options:
        listener.setsockopt(level, name, value)
    listener.bind((host, port))
    listener.listen(1024)
    return listener


async def converse(reader, writer, heard):
    asked = False
    try:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            asked, path = True, request.split()[1].decode()
            status = heard and heard(path) or "200 OK"
            await asyncio.sleep(random.uniform(0, 0.01))
            body = f"generation {GENERATION}\n".encode()
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            if b"connection: close" in request.lower():
                break
    except (OSError, asyncio.IncompleteReadError):
        if heard and not asked:
            heard("nothing")
    writer.close()


async def accept(listeners, heard):
    for listener in listeners:
        await asyncio.start_server(lambda r, w: converse(r, w, heard), sock=listener, backlog=1024)
    await asyncio.Event().wait()


def serve(*listeners, heard=None):
    """Answers for ever; `heard` is called with the path of each request ("nothing" for a connection without any), and may
    return another status than 200."""
    asyncio.run(accept(listeners, heard))
