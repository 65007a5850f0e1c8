"""Local server with the Hugging Face Hub's protocol.

As the Hub does, it answers a request for a file with a redirect to another host, and with the
file's SHA-256 as `X-Linked-Etag`; the other host serves ranges. A JSON file it serves itself.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

COMMIT = "c0ffee" + "0" * 34

RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
LIST = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)/revision/(?P<revision>[^/]+)")
STORE = re.compile(r"/store/(?P<sha256>[0-9a-f]{64})")


@dataclass
class LocalHub:
    """State of the server: files, behaviour and received requests.

    Attributes:
        files: Repository to file name to content.
        gated: Repositories that deny access.
        removed_revisions: Revisions that no repository has any more.
        cut_once_after: Bytes after which the next response, and no other, breaks off.
        budget: Bytes of content to send before every response breaks off; None for no limit.
        requests: Method, path, and range of each request so far.
        port: Port of the running server.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    removed_revisions: set[str] = field(default_factory=set)
    cut_once_after: int | None = None
    budget: int | None = None
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        """Address of the Hub."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, repository: str, file: str, content: bytes) -> str:
        """Publish a file and return its SHA-256."""
        self.files.setdefault(repository, {})[file] = content
        return hashlib.sha256(content).hexdigest()

    def gets(self) -> list[str | None]:
        """Ranges of the requests for content so far."""
        return [range_ for method, path, range_ in self.requests if STORE.match(path) and method]

    @contextmanager
    def running(self) -> Iterator["LocalHub"]:
        """Serve on a free port until the block ends."""
        handler = type("Handler", (_Handler,), {"hub": self})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            self.port = server.server_port
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Write no log: the tests check `requests`."""

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if stored := STORE.fullmatch(path):
            self._send_stored(stored["sha256"])
        elif match := LIST.fullmatch(path) or RESOLVE.fullmatch(path):
            repository = match["repository"]
            if repository in self.hub.gated:
                self._refuse(403, "GatedRepo")
            elif repository not in self.hub.files:
                self._refuse(401, "RepoNotFound")
            elif match["revision"] in self.hub.removed_revisions:
                self._refuse(404, "RevisionNotFound")
            elif "file" not in match.groupdict():
                self._send_list(repository)
            elif match["file"] not in self.hub.files[repository]:
                self._refuse(404, "EntryNotFound")
            elif match["file"].endswith(".json"):
                self._send_small(self.hub.files[repository][match["file"]])
            else:
                self._redirect(self.hub.files[repository][match["file"]])
        else:
            self._refuse(404, "")

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, {"X-Error-Code": code, "Content-Length": "0"})

    def _send_list(self, repository: str) -> None:
        names = [{"rfilename": name} for name in self.hub.files[repository]]
        body = json.dumps({"id": repository, "sha": COMMIT, "siblings": names}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._send(200, headers, body)

    def _send_small(self, content: bytes) -> None:
        tag = hashlib.sha1(content).hexdigest()  # noqa: S324 - as git names it
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}
        self._send(200, {**headers, "Content-Length": str(len(content))}, content)

    def _redirect(self, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {
            "Location": f"http://localhost:{self.hub.port}/store/{sha256}",  # another host
            "ETag": f'"{COMMIT}"',
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
            "X-Repo-Commit": COMMIT,
            "Content-Length": "0",
        }
        self._send(302, headers)

    def _send_stored(self, sha256: str) -> None:
        contents = (content for files in self.hub.files.values() for content in files.values())
        whole = next(c for c in contents if hashlib.sha256(c).hexdigest() == sha256)
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        body = whole[start:]
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(len(body))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if self.hub.cut_once_after is not None:
            body, self.hub.cut_once_after = body[: self.hub.cut_once_after], None
        if self.hub.budget is not None:
            body = body[: self.hub.budget]
            self.hub.budget -= len(body)
        self._send(206 if start else 200, headers, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
