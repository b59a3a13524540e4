"""A WebSocket server and a client, both of the PyPI package `websockets`.

peers.py serve: echoes each message; prints its port.
peers.py ask URL [CA]: sends three messages, checks their echoes, and prints `ok`.
"""

import asyncio
import ssl
import sys

import websockets


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


async def ask(url, ca=None):
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with websockets.connect(url, ssl=context, proxy=None) as connection:
        for message in ["hello", b"\x00\xff" * 40_000, ""]:
            await connection.send(message)
            assert await connection.recv() == message
        await (await connection.ping())
    print("ok", flush=True)


asyncio.run(serve() if sys.argv[1] == "serve" else ask(*sys.argv[2:]))
