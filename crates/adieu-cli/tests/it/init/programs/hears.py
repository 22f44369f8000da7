"""Writes down every signal it gets, in order, and how it was born; ends by the stop signals.

usage: hears.py FILE [stubborn]     (stubborn: it ends by nothing but SIGKILL)
"""
import os
import signal
import sys

everything = set(range(1, 65)) - {32, 33, signal.SIGKILL, signal.SIGSTOP}
signal.pthread_sigmask(signal.SIG_BLOCK, everything)
stubborn = sys.argv[2:] == ["stubborn"]
with open(sys.argv[1], "a", buffering=1) as heard:
    print("ready", file=heard)
    while True:
        got = signal.sigwaitinfo(everything).si_signo
        if got == signal.SIGCHLD:
            continue
        print(got, file=heard)
        if got in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT) and not stubborn:
            os._exit(40 + got)
