"""A readiness command: asks for /ready from the source port that reaches the generation it is about.

usage: asks_ready.py HOST PORT
"""
import os
import socket
import sys

source = ("", int(os.environ["ADIEU_PROBE_PORT"]))
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5, source_address=source) as connection:
    connection.sendall(b"GET /ready HTTP/1.1\r\nConnection: close\r\n\r\n")
    sys.exit(0 if connection.recv(4096).startswith(b"HTTP/1.1 200") else 1)
