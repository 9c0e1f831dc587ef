"""Serve this directory to phones and computers in the same network, and keep the tables that they give back.

python serve.py                       prints the address to open
python serve.py --port 8080
"""

from __future__ import annotations

import argparse
import http.server
import json
import socket
from pathlib import Path

HERE = Path(__file__).parent
LARGEST_BYTES = 16_000_000  # of a table
PORTS = 20  # that are tried, one after the other


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of the directory; a table that is posted becomes table-1.json, table-2.json, ..."""

    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, directory=str(HERE), **options)  # type: ignore[arg-type]

    def end_headers(self) -> None:
        """Isolate the page: browsers give fine clocks to isolated pages alone."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of single files."""

    def do_POST(self) -> None:
        """Keep a table, whatever its name: it gets the next number."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/table" or not 0 < length <= LARGEST_BYTES:
            self.send_error(400, "no table")
            return
        try:
            table = json.loads(self.rfile.read(length))
            times = [network["milliseconds"] for network in table["networks"]]
        except (ValueError, KeyError, TypeError):
            self.send_error(400, "no table")
            return
        name = next(name for n in range(1, 10**6) if not (HERE / (name := f"table-{n}.json")).exists())
        beside = HERE / f".{name}.new"
        beside.write_text(json.dumps(table), encoding="utf-8")
        beside.replace(HERE / name)
        print(f"{len(times)} networks of {table.get('device')}: {HERE / name}", flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(name.encode())


def address() -> str:
    """This machine's address in its network: that of the interface which leads out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        try:
            outward.connect(("192.0.2.1", 9))  # nothing is sent
            return str(outward.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def server(port: int) -> http.server.ThreadingHTTPServer:
    """The server on a port, or on one of the next ones where it is taken."""
    for number in range(port, port + PORTS):
        try:
            return http.server.ThreadingHTTPServer(("", number), Handler)
        except OSError:
            if number == port + PORTS - 1:
                raise
    raise AssertionError


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="8000 unless told; the next free one is taken")
    with server(parser.parse_args().port) as serving:
        number = serving.server_address[1]
        print(
            f"open http://{address()}:{number} on the phone, or http://127.0.0.1:{number} here; Ctrl-C ends", flush=True
        )
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
