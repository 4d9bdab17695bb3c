"""The page in a browser."""

import os
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_page_shows_results_and_rejects_other_files(address: str, image_folder: Path, tmp_path: Path, visit: Any):
    notes = tmp_path / "notes.txt"
    notes.write_text("not an image")
    screenshot = Path(os.environ.get("HAMIPOSE_SCREENSHOT", tmp_path / "page.png"))

    async def steer(tab: Any) -> dict[str, Any]:
        await tab.wait("!!document.querySelector('input[type=file]')")
        empty = await tab.text()
        await tab.upload(image_folder / "p0.png")
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
        await tab.wait("document.body.innerText.includes('notes.txt is neither an image nor a video')")
        return {"empty": empty, "full": full, "images": await tab.value(f"{drawn}.length")}

    seen = visit(address, steer)
    assert "Drop a photo or a clip." in seen["empty"]
    assert "distance [px]" in seen["full"]
    assert seen["images"] == 0  # the photo's keypoints disappear with the message of another file
    assert screenshot.stat().st_size > 5000
