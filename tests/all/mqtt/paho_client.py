"""paho-mqtt as its documentation shows it: keep-alive five seconds, subscribes in its connect handler, reconnects by itself.

paho_client.py clean|lasting publish|idle
"""

import json
import sys
import time

import paho.mqtt.client as mqtt

client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, client_id="paho", clean_session=sys.argv[1] == "clean"
)
client.reconnect_delay_set(1, 60)
client.on_connect = lambda client, *_: client.subscribe("espstress/cmd", 1)
client.connect_async("127.0.0.1", 1883, 5)
client.loop_start()
number = 0
while True:
    if sys.argv[2] == "publish":
        number += 1
        client.publish("espstress/data", json.dumps({"n": number}), qos=1)
    time.sleep(1)
