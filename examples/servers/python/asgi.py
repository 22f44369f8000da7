"""An ASGI application: uvicorn asgi:app"""

import asyncio
import os
import random


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await asyncio.sleep(random.uniform(0, 0.05))
    body = f"hello from uvicorn {os.getpid()}\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
