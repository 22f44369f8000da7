"""A WSGI application: gunicorn --worker-class gthread app:app"""

import os
import random
import time


def app(environ, start_response):
    time.sleep(random.uniform(0, 0.05))
    body = f"hello from gunicorn {os.getpid()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
