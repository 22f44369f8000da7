"""Sets options of a listener before it is bound, and says what they are once it listens; then answers.

usage: options.py [set] [mptcp] [polled] [blocking] [load]
       (polled: epoll waits for it before it is bound; load: there are other clients, so it does not ask itself)
"""
import fcntl
import os
import select
import socket
import sys

import answers

IPPROTO_MPTCP = 262
OPTIONS = {
    "REUSEADDR": (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    "REUSEPORT": (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
    "RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF, 33000),
    "SNDBUF": (socket.SOL_SOCKET, socket.SO_SNDBUF, 44000),
    "V6ONLY": (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
    "DEFER_ACCEPT": (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5),
    "FASTOPEN": (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 7),
    "FREEBIND": (socket.IPPROTO_IP, 15, 1),
    "NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
}
words = sys.argv[1:]
listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_MPTCP if "mptcp" in words else 0)
poll = select.epoll()
if "polled" in words:
    poll.register(listener, select.EPOLLIN | select.EPOLLET)
if "set" in words:
    for level, name, value in OPTIONS.values():
        listener.setsockopt(level, name, value)
    os.set_inheritable(listener.fileno(), True)
listener.setblocking("blocking" in words)
listener.bind(("::1", answers.PORT))
listener.listen(1024)
# Adopted or replaced, it gets SO_REUSEPORT when it listens; what matters is that it had it when it was bound.
for name, (level, number, _) in OPTIONS.items():
    print("option", name, listener.getsockopt(level, number), flush=True)
print("option CLOEXEC", fcntl.fcntl(listener, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
print("option NONBLOCK", fcntl.fcntl(listener, fcntl.F_GETFL) & os.O_NONBLOCK != 0)
if "load" not in words:
    client = socket.create_connection(("::1", answers.PORT))
    client.sendall(b"x")
    select.select([listener], [], [])
    accepted, _ = listener.accept()
    for name in ["NODELAY", "RCVBUF"]:
        print("option accepted", name, accepted.getsockopt(*OPTIONS[name][:2]))
    client.close()
    accepted.close()
print("protocol", listener.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), flush=True)
answers.serve(listener)
