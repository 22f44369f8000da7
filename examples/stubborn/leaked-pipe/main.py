import os
import signal
import subprocess
import sys

ours, theirs = os.pipe()
os.set_inheritable(theirs, True)
subprocess.Popen(["sleep", "1000"], close_fds=False)
os.close(theirs)


def end(*_):
    os.read(ours, 1)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
while True:
    signal.pause()
