"""A master and workers that share PORT by SO_REUSEPORT, each with a socket of its own. Their number is in the file `workers`.

The master starts no worker again; it ends when all of them have.
"""
import os
import signal
import socket

import answers

workers = []
for _ in range(int(open("workers").read())):
    pid = os.fork()
    if pid == 0:
        answers.serve(answers.listening(options=[(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)]))
    workers.append(pid)


def stop(*_):
    for pid in workers:
        os.kill(pid, signal.SIGTERM)


signal.signal(signal.SIGTERM, stop)
for pid in list(workers):
    os.waitpid(pid, 0)
