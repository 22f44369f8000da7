"""Processes that never stay where they are: each forks and leaves, its child goes on. All of them ignore SIGTERM.

usage: hops.py NUMBER SESSIONS     (sessions: yes - every hop goes to a session of its own)
"""
import os
import signal
import sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        while True:
            if os.fork() != 0:
                os._exit(0)
            if sys.argv[2] == "yes":
                os.setsid()
open("hopping", "w").write("yes")
while True:
    signal.pause()
