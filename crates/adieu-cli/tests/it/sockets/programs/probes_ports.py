"""Tries ports by listening and closing again, as some programs do before they serve, and serves PORT then.

usage: probes_ports.py TIMES PORT...     (every PORT is tried so often, with a pause after each try)
"""
import sys
import time

import answers

times, *ports = map(int, sys.argv[1:])
for _ in range(times):
    for port in ports:
        answers.listening(port=port).close()
        time.sleep(0.01)
served = answers.listening()
# Once more, when it serves already.
for port in ports:
    if port != answers.PORT:
        answers.listening(port=port).close()
print("serves", flush=True)
answers.serve(served)
