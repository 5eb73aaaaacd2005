"""An HTTP gateway before an S3 server: it counts requests, and some of them it answers wrongly."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

Wrong = Literal["refuse", "cut", "lose"]


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    method: str
    path: str
    query: str
    span: str
    size: int


@dataclass
class Fault:
    """What goes wrong with `times` requests of a kind, after `skip` of them went well."""

    wrong: Wrong
    method: str
    times: int
    status: int = 503
    after: int = 0
    part: str = ""
    skip: int = 0

    def hits(self, request: Request) -> bool:
        if self.times == 0 or request.method != self.method or self.part not in request.path:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Gateway:
    """Passes requests on to `target` as they are, and keeps a list of them."""

    def __init__(self, target: str) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def pass_on(self):
                gateway._pass_on(self, target)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815 - names of the base class

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, method: str, times: int = 1, status: int = 503, part: str = "", skip: int = 0) -> None:
        """Answer the next requests whose path holds `part` with an error, but the first `skip` of them."""
        self.faults.append(Fault("refuse", method, times, status, part=part, skip=skip))

    def cut(self, method: str, after: int, times: int = 1, part: str = "") -> None:
        """Break the connection behind `after` bytes of an answer (of a PUT: of what is sent)."""
        self.faults.append(Fault("cut", method, times, after=after, part=part))

    def lose(self, method: str, times: int = 1, part: str = "") -> None:
        """Do what is asked, and break the connection instead of saying so."""
        self.faults.append(Fault("lose", method, times, part=part))

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a kind there were."""
        return sum(request.method == method and part in request.path for request in self.requests)

    def _pass_on(self, handler: BaseHTTPRequestHandler, target: str) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        where = urlsplit(handler.path)
        request = Request(handler.command, unquote(where.path), where.query, handler.headers.get("Range", ""), size)
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.hits(request)), None)
        wrong = fault.wrong if fault else None
        if fault and wrong == "cut" and request.method == "PUT":
            handler.rfile.read(min(fault.after, size))
            self._hang_up(handler)
            return
        body = handler.rfile.read(size)
        if fault and wrong == "refuse":
            status, reason, headers, content = fault.status, "Refused", [], b"<Error><Code>SlowDown</Code></Error>"
        else:
            status, reason, headers, content = _ask(target, handler, body)
        if wrong == "lose":
            self._hang_up(handler)
            return
        handler.send_response_only(status, reason)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                handler.send_header(name, value)
        length = dict(headers).get("Content-Length") if request.method == "HEAD" else len(content)
        handler.send_header("Content-Length", str(length or 0))
        handler.end_headers()
        if request.method != "HEAD":
            handler.wfile.write(content[: fault.after] if fault and wrong == "cut" else content)
        if wrong == "cut":
            self._hang_up(handler)

    def _hang_up(self, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.flush()
        handler.close_connection = True


def _ask(target: str, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(urlsplit(target).netloc, timeout=60)
    try:
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, answer.reason, answer.getheaders(), answer.read()
    finally:
        connection.close()
