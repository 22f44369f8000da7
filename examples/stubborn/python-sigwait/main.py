import os
import signal
import threading

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
with open("target", "w") as file:
    file.write(str(os.getpid()))
open("ready", "w").close()
signal.sigwait({signal.SIGTERM})
threading.Event().wait()
