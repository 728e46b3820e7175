"""Stands in for the network module: an access point that drops the station now and then.

The first attempt to join fails, so that the back-off is taken; after that each association lasts two seconds.
"""

import time

STA_IF = 0


class WLAN:
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __init__(self, interface):
        assert interface == STA_IF
        self.attempts = 0
        self.joined = None

    def active(self, on):
        assert on

    def connect(self, ssid, password):
        assert ssid and password
        self.attempts += 1
        if self.attempts > 1:
            self.joined = time.time()

    def isconnected(self):
        return self.joined is not None and time.time() - self.joined < 2

    def status(self, what=None):
        if what == "rssi":
            return -61
        return 200 if self.attempts > 1 else 201

    def config(self, what):
        assert what == "pm"
        return self.PM_PERFORMANCE
