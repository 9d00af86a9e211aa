"""nginx from Debian on loopback, with its own settings and files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import trustme

from tests.programs import ended

PROGRAM: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SETTINGS: Final = """
daemon off; user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {http}
}}
"""
FILES: Final = """
    default_type application/json;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    server {{
        {listens}
        keepalive_timeout 60s; keepalive_requests {keepalive_requests};
        location / {{
            return 200 '{{"connection": $connection, "target": "$request_uri", "name": "$ssl_server_name"}}';
        }}
        location = /empty {{ return 204; }}
        location = /busy {{ add_header Retry-After 7 always; return 429 '{{}}'; }}
        location = /moved {{ return 302 /elsewhere; }}
        location /files/ {{ alias {folder}/files/; gzip on; gzip_types *; gzip_min_length 1; }}
        location /slow/ {{ alias {folder}/files/; limit_rate 1k; }}
        location = /cut {{ return 444; }}
    }}
"""


@contextmanager
def running_nginx(folder: Path, http: str, *, sockets: Sequence[socket.socket] = ()) -> Iterator[None]:
    """nginx with these directives in its `http` block, until the block ends. It inherits the listening sockets."""
    if PROGRAM is None:
        for each in sockets:
            each.close()
        pytest.skip("no nginx here (install nginx-light)")
    settings = folder / "nginx.conf"
    settings.write_text(SETTINGS.format(folder=folder, http=http))
    fds = [each.fileno() for each in sockets]
    started = subprocess.Popen(
        [PROGRAM, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(settings)],
        env={"NGINX": "".join(f"{fd};" for fd in fds)} if fds else {},
        pass_fds=fds,
    )
    with ended(started) as process:
        for each in sockets:
            each.close()
        try:
            yield
        finally:
            process.terminate()  # if it was killed, its worker would continue
            process.wait(10)


@contextmanager
def nginx(folder: Path, authority: trustme.CA, *, keepalive_requests: int = 1000) -> Iterator[dict[str, int]]:
    """Serves `folder`/files until the block ends; the ports of `http`, `https` and (where there is IPv6) `http6`.

    The listening sockets are created here and inherited, so that no other program can take a port first.
    """
    sockets = {"http": _listening("127.0.0.1"), "https": _listening("127.0.0.1")}
    if socket.has_dualstack_ipv6():
        sockets["http6"] = _listening("::1")
    ports = {name: each.getsockname()[1] for name, each in sockets.items()}
    places = {"http": "127.0.0.1:{}", "https": "127.0.0.1:{} ssl", "http6": "[::1]:{}"}
    listens = " ".join(f"listen {places[name].format(port)};" for name, port in ports.items())
    (folder / "files").mkdir(exist_ok=True)
    cert = authority.issue_cert("localhost", "127.0.0.1")
    cert.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "cert.pem").write_bytes(b"".join(part.bytes() for part in cert.cert_chain_pems))
    files = FILES.format(folder=folder, listens=listens, keepalive_requests=keepalive_requests)
    with running_nginx(folder, files, sockets=[*sockets.values()]):
        yield ports


def _listening(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.bind((host, 0))
    made.listen(128)
    made.setblocking(False)  # nginx does not change inherited sockets
    return made
