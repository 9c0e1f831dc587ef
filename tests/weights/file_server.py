"""A server of one file that is slow, breaks off, lies or resumes, as told."""

import http.server
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Behaviour:
    """How the server treats requests.

    Attributes:
        content: of the file.
        breaks: for each request in turn, after how many bytes it hangs up; afterwards none does.
        ranges: whether it honours Range.
        chunk_s: seconds between pieces of a thousandth of the file.
        status: other than 200 for every request.
        requests: ranges that were asked for, in order.
    """

    content: bytes
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    chunk_s: float = 0.0
    status: int = 200
    requests: list[str | None] = field(default_factory=list)


def serve(behaviour: Behaviour) -> http.server.ThreadingHTTPServer:
    """Serves on a free port, from a thread."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            behaviour.requests.append(asked)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and behaviour.ranges else 0
            if start >= len(behaviour.content):
                self.send_error(416)
                return
            rest = behaviour.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if behaviour.breaks:
                rest = rest[: behaviour.breaks.pop(0)]
            step = max(1, len(behaviour.content) // 1000) if behaviour.chunk_s else len(rest) or 1
            for place in range(0, len(rest), step):
                self.wfile.write(rest[place : place + step])
                time.sleep(behaviour.chunk_s)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
