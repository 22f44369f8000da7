"""Listens on PORT at each address of the command line, and answers on each. What it is asked goes to `seen-GENERATION`.
Asked for /ready it says 503 until there is a file `ready-GENERATION`. With HANDLES in its environment it handles SIGTERM.

usage: mixes.py ADDRESS...     (::! is IPv6 only; 0.0.0.0%lo is on that interface only; if there are several for one
family, they are shared)
"""
import os
import signal
import socket
import sys

import answers


def listening(text, share):
    text, only = text.rstrip("!"), text.endswith("!")
    host, _, interface = text.partition("%")
    options = [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)] if share else []
    if interface:
        options.append((socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"))
    if ":" not in host:
        return answers.listening(host, options=options)
    options.append((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only)))
    return answers.listening(host, family=socket.AF_INET6, options=options)


def heard(path):
    with open(f"seen-{answers.GENERATION}", "a") as seen:
        print(path, file=seen)
    if path == "/ready" and not os.path.exists(f"ready-{answers.GENERATION}"):
        return "503 Not Yet"


if "HANDLES" in os.environ:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
families = [":" in address for address in sys.argv[1:]]
answers.serve(*[listening(address, len(set(families)) < len(families)) for address in sys.argv[1:]], heard=heard)
