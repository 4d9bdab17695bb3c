"""The page as a person sees it: headless Chromium, steered over its debugging port."""

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="comes with anything that speaks websockets")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (apt-get install chromium)")

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
]


class Tab:
    """One tab: commands of the DevTools protocol go out, their results come back."""

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


async def visit(address: str, port: int, photo: Path, notes: Path, screenshot: Path) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        for _ in range(150):
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
            await tab.wait("!!document.querySelector('input[type=file]')")
            empty = await tab.text()
            await tab.upload(photo)
            await tab.wait("document.body.innerText.includes('of 16 keypoints')")
            drawn = "[...document.querySelectorAll('img')].filter(i => i.naturalWidth == 60 && i.naturalHeight == 80)"
            await tab.wait(f"{drawn}.length == 2")
            await tab.wait("document.body.innerText.includes('left_knee')")
            await tab.screenshot(screenshot)
            full = await tab.text()
            await tab.value("document.querySelector('button[aria-label=\"Clear\"]').click()")
            await tab.wait("document.body.innerText.includes('Drop a photo or a clip.')")
            await tab.wait("!!document.querySelector('input[type=file]')")
            await tab.upload(notes)
            await tab.wait("document.body.innerText.includes('notes.txt is neither a picture nor a video')")
            return {"empty": empty, "full": full, "images": await tab.value(f"{drawn}.length")}


@pytest.mark.slow
def test_a_person_drops_a_photo_and_then_a_text(address: str, pictures: Path, tmp_path: Path):
    assert CHROMIUM is not None
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    screenshot = Path(os.environ.get("HAMIPOSE_SCREENSHOT", tmp_path / "page.png"))
    browser = subprocess.Popen(
        [
            CHROMIUM,
            *_FLAGS,
            f"--remote-debugging-port={port}",
            f"--user-data-dir={tmp_path / 'profile'}",
            "about:blank",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        seen = asyncio.run(visit(address, port, pictures / "p0.png", notes, screenshot))
    finally:
        browser.terminate()
        browser.wait(20)
    assert "Drop a photo or a clip." in seen["empty"]
    assert "apart [px]" in seen["full"]
    assert seen["images"] == 0  # the photo's keypoints do not stay under the message of another file
    assert screenshot.stat().st_size > 5000
