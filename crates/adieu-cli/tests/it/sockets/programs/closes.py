"""Closes its listener when it is asked to stop, and takes three seconds more."""
import os
import signal
import threading
import time

import answers

listener = answers.listening()


def finish():
    time.sleep(3)
    os._exit(0)


def stop(*_):
    listener.close()
    print("closed", flush=True)
    threading.Thread(target=finish).start()


signal.signal(signal.SIGTERM, stop)
while True:
    try:
        connection, _ = listener.accept()
    except OSError:
        signal.pause()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
