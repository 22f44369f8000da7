"""Clients of one kind. Each line that is printed says when a request began (CLOCK_MONOTONIC).

clients.py ADDRESS PORT FROM load SECONDS    a pool of kept connections and as many that ask once, until SECONDS are over;
                                             the kept ones stay open. Prints the last request only.
clients.py ADDRESS PORT FROM probe PERIOD    one short connection every PERIOD
clients.py ADDRESS PORT FROM ask PATH        one request, and how its answer ends
"""
import socket, sys, threading, time

address, port, source, kind, what = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]


def connect():
    return socket.create_connection((address, port), timeout=30, source_address=(source, 0))


def ask(connection, path, keep):
    word = 'keep-alive' if keep else 'close'
    connection.sendall(f'GET {path} HTTP/1.1\r\nHost: it\r\nConnection: {word}\r\n\r\n'.encode())
    head = b''
    while b'\r\n\r\n' not in head:
        more = connection.recv(4096)
        if not more:
            raise EOFError(head)
        head += more
    while not head.endswith(b'hello\n'):
        head += connection.recv(4096)
    return head


last, lock = [0.0], threading.Lock()


def began():
    with lock:
        last[0] = max(last[0], time.monotonic())


def client(keep, until):
    kept = None
    while time.monotonic() < until:
        connection = kept or connect()
        began()
        ask(connection, '/', keep)
        if keep:
            kept = connection
        else:
            connection.close()
        time.sleep(0.013)
    return kept


if kind == 'load':
    until = time.monotonic() + float(what)
    kept = []
    threads = [threading.Thread(target=lambda keep=keep: kept.append(client(keep, until))) for keep in [True, False] * 4]
    print('loading', flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print('last', last[0], flush=True)
    time.sleep(1000)
elif kind == 'probe':
    begin = time.monotonic()
    for number in range(1000):
        time.sleep(max(0, begin + number * float(what) - time.monotonic()))
        connection = connect()
        print('request', time.monotonic(), flush=True)
        ask(connection, '/', False)
        connection.close()
else:
    connection = connect()
    print('request', time.monotonic(), flush=True)
    print(ask(connection, what, False).split(b'\r\n')[0].decode(), time.monotonic(), flush=True)
