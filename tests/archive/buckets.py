"""A bucket at a real S3 server on loopback: moto's, in its own process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler

import pytest

from tests.archive.file_server import serving
from tests.stopwatch import Stopwatch

BUCKET = "copies"


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server with one empty bucket."""
    pytest.importorskip("moto.server", reason="install moto[server,s3]")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _put_bucket(url, Stopwatch())
            yield url
        finally:
            server.kill()


def _put_bucket(url: str, waiting: Stopwatch) -> None:
    request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT", headers={"Authorization": AUTHORIZATION})
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except OSError:
            assert waiting.seconds < 60, "the S3 server does not start"


AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@contextmanager
def distant(url: str, *, pause_s: float) -> Iterator[str]:
    """The address at which the server answers as if it were far away: each request takes this much longer."""

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            time.sleep(pause_s)
            with closing(HTTPConnection(url.removeprefix("http://"))) as server:
                server.request(self.command, self.path, body, dict(self.headers))
                answer = server.getresponse()
                content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "transfer-encoding", "content-length", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("content-length") or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    with serving(Relay) as relay:
        yield relay


def environment(url: str) -> dict[str, str]:
    """The variables that name the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret-key",
        "AWS_REGION": "us-east-1",
        **{name: value for name, value in os.environ.items() if name == "NO_PROXY"},
    }
