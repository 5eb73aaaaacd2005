"""The S3 server behind a wire that can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest


class Wire:
    """A TCP connection to the server that counts bytes each way, and is cut behind `cut_after` bytes sent."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = self.received = 0
        self.cut_after = float("inf")
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pump, args=(client, server, "sent"), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, "received"), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, count: str) -> None:
        with source, target:
            try:
                while data := source.recv(1 << 16):
                    setattr(self, count, getattr(self, count) + len(data))
                    if self.sent > self.cut_after:
                        break
                    target.sendall(data)
            except OSError:
                pass
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(s3_server, s3_user, monkeypatch):
    """The server, behind a wire."""
    wire = Wire(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
    yield wire
    wire.close()
