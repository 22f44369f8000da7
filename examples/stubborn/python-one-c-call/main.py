import itertools
import os
import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
sum(itertools.repeat(1))
