"""Listens on PORT and answers; says so, or with which error it could not.

usage: plain.py [reuseport]     (reuseport: it wants to share its port)
"""
import errno
import socket
import sys

import answers

share = [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)] if sys.argv[1:] == ["reuseport"] else []
try:
    listener = answers.listening(options=share)
except OSError as error:
    print("cannot listen:", errno.errorcode[error.errno], flush=True)
    sys.exit(98)
print("serves", flush=True)
answers.serve(listener)
