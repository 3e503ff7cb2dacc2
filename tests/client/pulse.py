"""What every client does each second, whatever its user does."""

import socket
import threading

import pika
import pika.exceptions
import requests

from client.wire import get, is_number, read
from stack.running import RunningServer

INTERVAL_S = 1.0
FAILURES = (AssertionError, ValueError, OSError, requests.RequestException, pika.exceptions.AMQPError)


class Pulse:
    """Looks for the server and the broker each second; nothing may be missing in any answer."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._parameters = pika.ConnectionParameters(
            "localhost", server.rabbitmq_port, "/", pika.PlainCredentials("user", server.rabbitmq_password)
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.beats = 0
        self.failures: list[str] = []

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._beat()
            except FAILURES as error:
                self.failures.append(repr(error))
            self.beats += 1
            if self._stop.wait(INTERVAL_S):
                return

    def _beat(self) -> None:
        with socket.create_connection(("localhost", self._server.http_port), timeout=10):
            pass
        devices = read(get(self._server.base_url, "state/gpus"))
        assert isinstance(devices, list)
        assert devices
        for device in devices:
            assert isinstance(device["id"], str)
            assert isinstance(device["name"], str)
            assert is_number(device["mem_total"])
            assert is_number(device["mem_used"])
        pika.BlockingConnection(self._parameters).close()
