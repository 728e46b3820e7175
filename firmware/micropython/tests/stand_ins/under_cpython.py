"""Runs the script under CPython, whose asyncio waits for sockets in another way and whose time has no ticks.

    python3 under_cpython.py SCRIPT [settings]
"""

import asyncio
import importlib.util
import sys
import time

time.ticks_ms = lambda: int(time.monotonic() * 1000)
time.ticks_diff = lambda a, b: a - b


async def readable(sock):
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


async def open_stream(sock):
    return await asyncio.open_connection(sock=sock)


specification = importlib.util.spec_from_file_location("espstress_device", sys.argv[1])
script = importlib.util.module_from_spec(specification)
specification.loader.exec_module(script)
script.readable = readable
script.open_stream = open_stream
script.run(sys.argv[2:])
