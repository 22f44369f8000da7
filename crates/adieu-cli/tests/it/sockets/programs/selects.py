"""Has a thread for each connection, which waits by `select` until there is something and reads without O_NONBLOCK."""
import random
import select
import threading
import time

import answers

IDLE = 60


def converse(connection):
    with connection:
        request = b""
        while select.select([connection], [], [], IDLE)[0]:
            got = connection.recv(65536)
            if not got:
                return
            request += got
            if not request.endswith(b"\r\n\r\n"):
                continue
            time.sleep(random.uniform(0, 0.01))
            body = f"generation {answers.GENERATION}\n".encode()
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            if b"connection: close" in request.lower():
                return
            request = b""


listener = answers.listening()
while True:
    threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()
