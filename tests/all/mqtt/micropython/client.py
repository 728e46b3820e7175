"""mqtt_as as its documentation shows it: keep-alive five seconds, subscribes in its connect handler, a numbered message a second.

client.py clean|lasting
"""

import asyncio
import sys

from mqtt_as import MQTTClient, config


async def subscribe(client):
    await client.subscribe("espstress/cmd", 1)


async def main():
    clean = sys.argv[1] == "clean"
    config["server"], config["port"], config["keepalive"] = "127.0.0.1", 1883, 5
    config["client_id"], config["connect_coro"] = b"mqtt_as", subscribe
    config["clean"] = config["clean_init"] = clean
    client = MQTTClient(config)
    await client.connect()
    number = 0
    while True:
        number += 1
        await client.publish("espstress/data", '{"n": %d}' % number, qos=1)
        await asyncio.sleep(1)


asyncio.run(main())
