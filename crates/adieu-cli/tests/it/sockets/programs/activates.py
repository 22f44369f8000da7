"""Opens a listener and starts a command with it as systemd does with a socket unit.

usage: activates.py HOST PORT NAME COMMAND     (HOST none: it says so, but passes nothing)
"""
import os
import socket
import sys

host, port, name, *command = sys.argv[1:]
if host != "none":
    listener = socket.create_server((host, int(port)), backlog=1024)
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
os.execvp(command[0], command)
