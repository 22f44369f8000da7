import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open("started", "w").close()
signal.pause()
