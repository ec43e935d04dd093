"""Headless Chromium through its DevTools protocol, over a pipe: no driver, no port."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

EXECUTABLE = shutil.which("chromium")
TIMEOUT_S = 60


class Page:
    """A tab; `events` collects all that the browser reports, in order."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._to, self._from = to_browser, from_browser
        self._unread = b""
        self._number = 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and waits for its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        os.write(self._to, json.dumps({**command, **self._session}).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def open(self, path: pathlib.Path | str, width: int, height: int = 900) -> None:
        """Shows a file, or what has an address, in a window of so many CSS pixels.

        Waits until it is loaded.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.events.clear()
        address = path if isinstance(path, str) else path.resolve().as_uri()
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, answer
        while self.run("document.readyState") != "complete":
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def of(self, method: str) -> list[dict[str, Any]]:
        """Parameters of all events of one kind."""
        return [e["params"] for e in self.events if e["method"] == method]

    def _read(self) -> dict[str, Any]:
        """The next answer; events on the way are kept."""
        while True:
            while b"\0" not in self._unread:
                chunk = os.read(self._from, 1 << 20)
                assert chunk, "chromium ended"
                self._unread += chunk
            line, _, self._unread = self._unread.partition(b"\0")
            message = json.loads(line)
            if "method" not in message:
                return message
            self.events.append(message)


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """Starts Chromium with one page, and ends it."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    assert EXECUTABLE is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            # Chromium reads commands from descriptor 3 and answers on 4.
            ["bash", "-c", f'exec "$@" 3<&{in_read} 4>&{out_write}', "bash"]
            + [EXECUTABLE, "--headless", "--no-sandbox", "--disable-gpu"]
            + ["--remote-debugging-pipe", f"--user-data-dir={profile}"],
            pass_fds=(in_read, out_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(in_read)
        os.close(out_write)
        try:
            page = Page(in_write, out_read)
            yield page
        finally:
            os.close(in_write)  # it ends when nobody can command it
            try:
                process.wait(TIMEOUT_S)
            finally:
                process.kill()
                os.close(out_read)
