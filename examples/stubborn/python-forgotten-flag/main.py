import os
import signal
import threading
import time

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
while True:
    time.sleep(1000)
