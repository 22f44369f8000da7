"""Opens a listener and starts a command with it as systemd does with a socket unit; when the command has ended, it answers
one request there itself.

usage: activates.py HOST PORT NAME COMMAND     (HOST none: it says so, but passes nothing)
"""
import ctypes
import os
import select
import signal
import socket
import sys

PR_SET_PDEATHSIG = 1

host, port, name, *command = sys.argv[1:]
listener = None if host == "none" else socket.create_server((host, int(port)), backlog=1024)
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if listener:
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
    os.execvp(command[0], command)
os.waitpid(child, 0)
print("the command has ended", flush=True)
if listener:
    # The program may have changed how it blocks: that is the same for all who have it.
    select.select([listener], [], [])
    connection, _ = listener.accept()
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld")
    connection.close()
