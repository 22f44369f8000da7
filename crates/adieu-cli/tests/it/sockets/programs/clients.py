"""Connects many times, waits until the file `go` is there, then asks on every connection and says how that ended.

usage: clients.py HOST PORT NUMBER
"""
import collections
import os
import socket
import sys
import time

host, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connections = [socket.create_connection((host, port), timeout=30) for _ in range(number)]
print("connected", flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
ends = collections.Counter()
for connection in connections:
    try:
        connection.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    except OSError:
        # Heard again when it is read.
        pass
for connection in connections:
    answer = b""
    try:
        while got := connection.recv(65536):
            answer += got
        ends[answer.split(b"\r\n\r\n")[-1].decode().strip() or "cut off"] += 1
    except OSError as error:
        ends[type(error).__name__] += 1
print("ends", dict(ends), flush=True)
