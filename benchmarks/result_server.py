"""The provider of the archive benchmark: `python -m benchmarks.result_server --megabytes N`.

Its tasks succeed when the gate is opened, except that `first` succeeds at once and `r...` never. The result of each is
a file of its own at `/files/TASK.mp4` of the same host.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any, Final

from benchmarks.provider import answer_body

FILES: Final = "/files/"
HEAD: Final = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"  # the first bytes of an MP4 file
CHUNK_BYTES: Final = 1 << 20


class ResultServer(ThreadingHTTPServer):
    """Serves the same bytes as the result of every task."""

    daemon_threads = True

    def __init__(self, size: int) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.size = size
        self.is_open = False
        self.polled = threading.Event()
        self.file = tempfile.TemporaryFile()
        self.file.write(HEAD)
        while (left := size - self.file.tell()) > 0:
            self.file.write(os.urandom(min(CHUNK_BYTES, left)))
        self.file.flush()


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ResultServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        task_id = self.path.rpartition("/")[2]
        if self.path == "/-/open":
            self.server.is_open = True
            self._say(b"true")
        elif self.path == "/-/polled":
            self._say(json.dumps(self.server.polled.wait(60)).encode())
        elif self.path.startswith(FILES):
            self._send_file()
        elif task_id == "first" or (self.server.is_open and not task_id.startswith("r")):
            url = f"http://127.0.0.1:{self.server.server_port}{FILES}{task_id}.mp4"
            videos = [{"id": f"{task_id}01", "url": url, "duration": "5.1"}]
            self._say(answer_body(task_id, "succeed", {"videos": videos}))
        else:
            self._say(answer_body(task_id, "processing", None))
            self.server.polled.set()

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(self.server.size))
        self.end_headers()
        self.wfile.flush()
        done = 0
        while done < self.server.size:
            count = self.server.size - done
            done += os.sendfile(self.connection.fileno(), self.server.file.fileno(), done, count)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, required=True)
    server = ResultServer(int(parser.parse_args().megabytes * (1 << 20)))

    def stop(_: int, __: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print(json.dumps(server.server_port), flush=True)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
