import os
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
time.sleep(1000)
