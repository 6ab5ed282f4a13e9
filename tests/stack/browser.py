"""Chromium, told what to do over its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from platform_client import wait_for
from websockets.sync.client import ClientConnection, connect

#: Seconds that a page may take on a slow, busy machine.
LONG = 120.0
#: Seconds without a change after which a page counts as drawn.
STILL = 1.5


class Page:
    """The one tab of a browser."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self._calls = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a command of the protocol; events are passed over."""
        self._calls += 1
        self._link.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while (answer := json.loads(self._link.recv(LONG))).get("id") != self._calls:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def evaluate(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def wait_for_text(self, *texts: str) -> None:
        """Wait until all of these are to be read on the page, one after the other."""
        for text in texts:
            self.wait_for(f"document.body?.innerText.includes({json.dumps(text)})")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true."""
        wait_for(lambda: self.evaluate(f"!!({condition})"), LONG, condition)

    def press(self, selector: str, text: str | None = None) -> None:
        """Click the first element that a CSS selector finds, once it is there.

        Args:
            selector: Of the element.
            text: All that it says, where that matters.
        """
        said = "" if text is None else f".filter(e => e.innerText.trim() === {json.dumps(text)})"
        found = f"[...document.querySelectorAll({json.dumps(selector)})]{said}[0]"
        self.wait_for(found)
        self.evaluate(f"{found}.click()")

    def press_icon(self, name: str) -> None:
        """Click the first button that says nothing, but has an icon of Dagster's."""
        self.press(f"button:has([aria-label={name}])", text="")

    def resize(self, width: int, height: int, scale: float = 1.0) -> None:
        """Give the window a size in CSS pixels; pictures of it have so many times `scale`."""
        size = {"width": width, "height": height}
        self.call(
            "Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=scale, mobile=False
        )

    def still_picture(self) -> bytes:
        """What the window shows as WebP, once it looks the same for a while: all is drawn."""
        before, since = b"", time.monotonic()
        deadline = since + LONG
        while time.monotonic() - since < STILL:
            assert time.monotonic() < deadline, "the page never stands still"
            time.sleep(0.2)
            now = self._picture()
            if now != before:
                before, since = now, time.monotonic()
        return before

    def _picture(self) -> bytes:
        data = self.call("Page.captureScreenshot", format="webp", quality=80)["data"]
        return base64.b64decode(data)


@contextmanager
def a_browser() -> Iterator[Page]:
    """Chromium with one page; skips the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on PATH: no page is opened in a real browser")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", f"--user-data-dir={folder}", "--no-proxy-server"),
            *("--remote-debugging-port=0", "about:blank"),
        ]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                with connect(_address(Path(folder)), max_size=None) as link:
                    yield Page(link)
            finally:
                process.terminate()


def _address(folder: Path) -> str:
    """Where the browser's one tab is told what to do."""
    file = folder / "DevToolsActivePort"
    wait_for(lambda: file.exists() and file.read_text().count("\n"), LONG, "chromium")
    port = file.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=LONG) as answer:
        [tab] = [one for one in json.loads(answer.read()) if one["type"] == "page"]
    return tab["webSocketDebuggerUrl"]
