"""Answers until somebody asks for /die; starting takes half a second. A child without any socket stays.

usage: dies.py
"""
import os
import signal
import time

import answers


def heard(path):
    if path == "/die":
        os._exit(3)


if answers.GENERATION != "1":
    time.sleep(0.5)
if os.fork() == 0:
    os.closerange(3, 64)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
    os._exit(0)
answers.serve(answers.listening(), heard=heard)
