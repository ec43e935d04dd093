"""An HTTP server on 127.0.0.1 that does, request by request, what a test tells it."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = {"404": 404, "416": 416, "429": 429, "500": 500, "503": 503}


class Server(ThreadingHTTPServer):
    """Serves files by the last part of a path, as a proxy also for other hosts.

    `plan` holds what the next requests get; afterwards everything is "whole":

    whole     the file, or what Range asks for
    break     half of what is asked for, then the connection ends
    stall     the same, and then silence
    ignore    the whole file, whatever Range asks for
    shift     a range that begins one byte later than asked for
    wrong     the right number of other bytes
    short     a file, announced as such, of half the length
    long      a file, announced as such, of twice the length
    endless   twice the length, without an announcement
    gzip      the file, with a header that calls it gzipped
    redirect  to another path of the same file
    404, ...  that status
    """

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.plan: list[str] = []
        self.requests: list[tuple[str, str | None]] = []  # path, Range
        self.release = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        """Keeps the test's output clean."""

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.path, asked))
        plan = server.plan.pop(0) if server.plan else "whole"
        data = server.files.get(self.path.rsplit("/", 1)[-1])
        if data is None or plan in STATUS:
            self.send_error(STATUS.get(plan, 404))
            return
        if plan == "redirect":
            self.send_response(302)
            self.send_header("Location", f"/elsewhere{self.path}")
            self.end_headers()
            return
        start, total = 0, len(data)
        if asked and plan != "ignore":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            shown = start + (plan == "shift")
            self.send_header("Content-Range", f"bytes {shown}-{total - 1}/{total}")
        else:
            self.send_response(200)
        body = data[start:]
        if plan in ("long", "endless"):
            body = body * 2
        elif plan == "short":
            body = body[: len(body) // 2]
        elif plan == "wrong":
            body = bytes(255 - byte for byte in body)
        if plan != "endless":
            self.send_header("Content-Length", str(len(body)))
        if plan == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if plan in ("break", "stall"):
            body = body[: len(body) // 2]
        self.wfile.write(body)
        self.wfile.flush()
        if plan == "stall":
            server.release.wait(20)


@contextlib.contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[Server]:
    """A running server with these files, by name."""
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
