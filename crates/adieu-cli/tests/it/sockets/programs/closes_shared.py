"""Hands its port over as programs do without adieu: opens a second listener by SO_REUSEPORT, closes the first, and answers.

It does so when the file `close` is there.
"""
import os
import socket
import time

import answers

share = [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)]
first = answers.listening(options=share)
print("serves", flush=True)
while not os.path.exists("close"):
    time.sleep(0.02)
second = answers.listening(options=share)
first.close()
print("closed", flush=True)
answers.serve(second)
