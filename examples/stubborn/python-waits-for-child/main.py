import os
import signal
import subprocess

signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen(["sleep", "1000"])
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
child.wait()
