"""The page as a person sees it."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from meshtto.app.response import Responder

_CANVAS = "JSON.stringify(Object.values(document.querySelector('canvas').getBoundingClientRect().toJSON()))"


async def mesh_view(tab: Any, screenshot: Path) -> np.ndarray:
    """Return the pixels of the rotatable mesh view."""
    left, top, width, height, *_ = (round(v) for v in json.loads(await tab.value(_CANVAS)))
    await tab.screenshot(screenshot)
    return cv2.imread(str(screenshot))[top : top + height, left : left + width].astype(int)


async def drag(tab: Any, by: int) -> None:
    """Drag across the mesh with the left button."""
    left, top, width, height, *_ = json.loads(await tab.value(_CANVAS))
    x, y = left + width / 2, top + height / 2
    for kind, at in (("mousePressed", 0), ("mouseMoved", by // 2), ("mouseMoved", by), ("mouseReleased", by)):
        await tab.do("Input.dispatchMouseEvent", type=kind, x=x + at, y=y, button="left", buttons=1, clickCount=1)
        await asyncio.sleep(0.1)


@pytest.mark.slow
def test_page_shows_rotates_and_steps_through_a_mesh(
    address: str, responder: Responder, photo: Path, tmp_path: Path, visit: Any, monkeypatch: pytest.MonkeyPatch
):
    screenshot = Path(os.environ.get("MESHTTO_SCREENSHOT", tmp_path / "page.png"))
    notes = tmp_path / "notes.txt"
    notes.write_text("not an image")
    recovered, recover = [], responder.method.recover
    monkeypatch.setattr(responder.method, "recover", lambda *a, **k: recovered.append(1) or recover(*a, **k))
    drawn = "[...document.querySelectorAll('img')].filter(i => i.naturalWidth == 96 && i.naturalHeight == 80)"

    async def steer(tab: Any) -> dict[str, Any]:
        await tab.wait("!!document.querySelector('input[type=file]')")
        empty = await tab.text()
        await tab.upload(photo)
        await tab.wait("document.body.innerText.includes('after 3 of 3 steps')")
        await tab.wait(f"{drawn}.length == 1")
        await tab.wait("!!document.querySelector('canvas')")
        for _ in range(60):  # wait until the viewer has drawn
            before = await mesh_view(tab, screenshot)
            if before.std() > 3:
                break
            await asyncio.sleep(0.5)
        full, last = await tab.text(), await tab.value(f"{drawn}[0].src")
        await drag(tab, 120)
        await asyncio.sleep(1)
        turned = await mesh_view(tab, tmp_path / "turned.png")
        await tab.value(
            "(() => { const slider = document.querySelector('input[type=range]'); slider.value = 0;"
            " slider.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        await tab.wait("document.body.innerText.includes('after 0 of 3 steps')")
        await tab.wait(f"{drawn}.length == 1 && {drawn}[0].src != '{last}'")
        external = await tab.value(
            "performance.getEntriesByType('resource').map(e => e.name).filter(n => n.startsWith('http') && "
            "!n.includes('127.0.0.1')).join(' ')"
        )
        await tab.value("document.querySelector('#photo button[aria-label=\"Clear\"]').click()")
        await tab.wait("document.body.innerText.includes('Upload a photo.')")
        await tab.wait("!!document.querySelector('#photo input[type=file]')")
        await tab.upload(notes)
        await tab.wait("document.body.innerText.includes('notes.txt is neither an image')")
        left = await tab.value(f"{drawn}.length")
        return {
            "empty": empty, "full": full, "before": before, "turned": turned, "external": external, "left": left,
        }  # fmt: skip

    seen = visit(address, steer)
    assert "Upload a photo." in seen["empty"]
    assert "One person. 3 adaptation steps" in seen["full"]
    assert seen["before"].std() > 3  # a mesh is visible
    assert np.abs(seen["before"] - seen["turned"]).mean() > 1  # and it rotates
    assert len(recovered) == 1  # moving the slider does not adapt again
    assert seen["external"] == ""  # no external resource is loaded
    assert seen["left"] == 0  # the photo's mesh disappears with the message of another file
    assert screenshot.stat().st_size > 5000
