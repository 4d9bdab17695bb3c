"""Web pages in headless Chromium, controlled through its debugging port.

Tests of pages are skipped if Chromium or gradio is missing; with ``HAMIPOSE_PAGES=required`` they fail instead.
"""

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
]


class Tab:
    """A browser tab that is controlled through the DevTools protocol."""

    def __init__(self, socket: Any):
        self.socket = socket
        self.number = 0

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await self.socket.receive(timeout=30)).data)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    async def value(self, expression: str) -> Any:
        return (await self.do("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def wait(self, expression: str, seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while not await self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}; the page: {await self.text()}"
            await asyncio.sleep(0.2)

    async def text(self) -> str:
        return await self.value("document.body.innerText")

    async def upload(self, path: Path) -> None:
        root = (await self.do("DOM.getDocument"))["root"]["nodeId"]
        found = await self.do("DOM.querySelector", nodeId=root, selector="input[type=file]")
        await self.do("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])

    async def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode((await self.do("Page.captureScreenshot", format="png"))["data"]))


async def _control(port: int, address: str, control: Callable[[Tab], Awaitable[Any]], aiohttp: Any) -> Any:
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(f"http://127.0.0.1:{port}/json") as reply:
                    tabs = [t for t in await reply.json() if t["type"] == "page"]
                if tabs:
                    break
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
        async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as connection:
            tab = Tab(connection)
            await tab.do("Page.navigate", url=address)
            return await control(tab)


@pytest.fixture
def visit(tmp_path: Path) -> Callable[[str, Callable[[Tab], Awaitable[Any]]], Any]:
    """Return a function that opens an address and returns the result of a coroutine that controls the tab.

    Skip the test if Chromium is missing.
    """
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")

    def open_page(address: str, control: Callable[[Tab], Awaitable[Any]]) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        own = [f"--remote-debugging-port={port}", f"--user-data-dir={tmp_path / 'profile'}", "about:blank"]
        browser = subprocess.Popen([chromium, *_FLAGS, *own], stderr=subprocess.DEVNULL)
        try:
            return asyncio.run(_control(port, address, control, aiohttp))
        finally:
            browser.terminate()
            browser.wait(20)

    return open_page


def fail_if_skipped(item: pytest.Item, report: pytest.TestReport) -> None:
    """Report skipped tests of pages as failed if ``HAMIPOSE_PAGES=required``."""
    if report.skipped and item.path.parent.name == "app" and os.environ.get("HAMIPOSE_PAGES") == "required":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: HAMIPOSE_PAGES is required, and the test was to be skipped ({reason})"
