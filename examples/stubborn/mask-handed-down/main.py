import os
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
open("target", "w").write(str(os.getpid()))
open("ready", "w").close()
os.execvp("sleep", ["sleep", "1000"])
