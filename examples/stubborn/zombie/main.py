import os
import time

child = os.fork()
if child == 0:
    os._exit(0)
while open(f"/proc/{child}/stat").read().split(") ")[1][0] != "Z":
    time.sleep(0.01)
open("target", "w").write(str(child))
open("ready", "w").close()
time.sleep(1000)
