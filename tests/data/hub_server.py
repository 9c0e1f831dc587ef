"""As much of the Hugging Face Hub as `load_dataset` asks for: one data set repository of one commit, from a folder."""

import hashlib
import http.server
import json
import threading
import urllib.parse
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def serve(name: str, root: Path) -> http.server.ThreadingHTTPServer:
    """Serves the files below `root` as the data set repository `name`, on a free port, from a thread."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def described(path: str) -> dict[str, Any]:
        kind = {"type": "file", "size": len(files[path])} if path in files else {"type": "directory", "size": 0}
        return {**kind, "oid": digest(path), "path": path}

    def digest(path: str) -> str:
        return hashlib.sha1(files.get(path, b"")).hexdigest()

    def children(folder: str, recursive: bool) -> list[str]:
        found = (root / folder).rglob("*") if recursive else (root / folder).glob("*")
        return sorted(path.relative_to(root).as_posix() for path in found)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            api, resolve = f"/api/datasets/{name}", f"/datasets/{name}/resolve/"
            if path.startswith(resolve):
                self._file(path.removeprefix(resolve).partition("/")[2])
            elif path == api or path.startswith(f"{api}/revision/"):
                siblings = [{"rfilename": file} for file in files]
                self._json({"_id": "1", "id": name, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []})
            elif path.startswith(f"{api}/tree/"):
                folder = path.removeprefix(f"{api}/tree/").partition("/")[2]
                self._json([described(child) for child in children(folder, "recursive=true" in self.path.lower())])
            elif path.startswith(f"{api}/paths-info/"):
                wanted = json.loads(body)["paths"] if body.startswith("{") else urllib.parse.parse_qs(body)["paths"]
                self._json([described(file) for file in wanted if file in files])
            else:
                self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_POST = do_GET

        def _file(self, file: str) -> None:
            if file in files:
                self._answer(200, files[file], {"ETag": f'"{digest(file)}"', "X-Repo-Commit": COMMIT})
            else:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

        def _json(self, value: Any) -> None:
            self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for header, text in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(header, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
