"""A WSGI application that books transfers in PostgreSQL: gunicorn --worker-class gthread ledger:app

Every transfer has two halves, with some work between them. /transfer books both in one transaction, /careless in
two: cut that one off and half a transfer stays in the books. The table:

    CREATE TABLE transfer (id uuid, booking text, half text)
"""

import os
import time
import uuid

import psycopg2.pool

THREADS = 8
INSERT = "INSERT INTO transfer (id, booking, half) VALUES (%s, %s, %s)"

# Opened by each worker: the application is loaded after the fork.
pool = psycopg2.pool.ThreadedConnectionPool(1, THREADS, os.environ["DATABASE_URL"])


def app(environ, start_response):
    transfer = str(uuid.uuid4())
    connection = pool.getconn()
    booking = environ["PATH_INFO"].strip("/")
    connection.autocommit = booking == "careless"
    try:
        with connection.cursor() as cursor:
            cursor.execute(INSERT, (transfer, booking, "debit"))
            time.sleep(0.02)
            cursor.execute(INSERT, (transfer, booking, "credit"))
        connection.commit()
    finally:
        pool.putconn(connection)
    body = f"booked {transfer}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
