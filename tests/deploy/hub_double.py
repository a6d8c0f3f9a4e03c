"""A hub on loopback: what `huggingface_hub` asks of the real one for an upload, and every request that came."""

import hashlib
import json
import re
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_" + "t0kenOfNobody" * 2


@dataclass
class Hub:
    """Files that arrived by name, repositories that were made, and what the requests said of themselves."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # large ones, by SHA-256
    repositories: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, Authorization


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _answer(self, value: Any, status: int = 200) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _note(self) -> str:
            path = self.path.partition("?")[0]
            hub.requests.append((self.command, path, self.headers.get("Authorization")))
            return path

        def do_GET(self) -> None:
            path = self._note()
            if re.fullmatch(r"/api/models/me/net(/revision/main)?", path):
                self._answer({"id": "me/net", "sha": "0" * 40, "siblings": [], "private": False})
            else:
                self._answer({"error": "not found"}, 404)

        def do_PUT(self) -> None:
            path, content = self._note(), self._body()
            hub.objects[path.rpartition("/")[2]] = content
            self._answer({})

        def do_POST(self) -> None:
            path, content = self._note(), self._body()
            if self.headers.get("Authorization") != f"Bearer {TOKEN}" and "/lfs/" not in path:
                self._answer({"error": "Invalid username or password."}, 401)
            elif path == "/api/repos/create":
                asked = json.loads(content)
                name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
                hub.repositories.append(name)
                self._answer({"url": f"{hub.address}/{name}", "name": name})
            elif path == "/api/validate-yaml":
                self._answer({"errors": [], "warnings": []})
            elif path.endswith("/preupload/main"):
                modes = {
                    entry["path"]: "lfs" if entry["path"].endswith(".tflite") else "regular"
                    for entry in json.loads(content)["files"]
                }
                self._answer(
                    {
                        "files": [
                            {"path": p, "uploadMode": m, "shouldIgnore": False, "oid": None} for p, m in modes.items()
                        ]
                    }
                )
            elif path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {
                        "oid": one["oid"],
                        "size": one["size"],
                        "actions": {"upload": {"href": f"{hub.address}/store/{one['oid']}"}},
                    }
                    for one in json.loads(content)["objects"]
                ]
                self._answer({"transfer": "basic", "objects": objects})
            elif path.endswith("/commit/main"):
                self._commit(content)
            else:
                self._answer({"error": "not found"}, 404)

        def _commit(self, content: bytes) -> None:
            for line in filter(None, content.splitlines()):
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    hub.files[value["path"]] = b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    stored = hub.objects[value["oid"]]
                    assert hashlib.sha256(stored).hexdigest() == value["oid"]
                    hub.files[value["path"]] = stored
            self._answer(
                {
                    "success": True,
                    "commitOid": "1" * 40,
                    "commitUrl": f"{hub.address}/me/net/commit/{'1' * 40}",
                    "hookOutput": "",
                }
            )

    return Handler


@contextmanager
def running() -> Iterator[Hub]:
    """Run the double in the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
