"""Stands in for the Wi-Fi of a board: always in reach."""

STA_IF = 0


class WLAN:
    def __init__(self, _interface):
        self._connected = False

    def active(self, *_state):
        return True

    def connect(self, *_credentials):
        self._connected = True

    def disconnect(self):
        self._connected = False

    def isconnected(self):
        return self._connected
