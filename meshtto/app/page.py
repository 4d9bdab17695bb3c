"""The page: where the answer's parts stand, and a slider through its steps."""

from pathlib import Path
from typing import Any

from hamipose.app.serving import gradio
from meshtto.app.response import WELCOME, Answers
from meshtto.app.steps import Unfolded
from meshtto.evaluation.plots import against_steps

__all__ = ["build"]


def _at(step: int, unfolded: Unfolded | None) -> tuple[str | None, str | None, str]:
    """Overlay, mesh and a line, after so many steps: files that are there already."""
    if unfolded is None:
        return None, None, ""
    step = min(max(int(step), 0), unfolded.steps)
    error = f": {unfolded.errors_px[step]:.1f} px from the 2D keypoints" if unfolded.errors_px else ""
    return str(unfolded.overlays[step]), str(unfolded.meshes[step]), f"after {step} of {unfolded.steps} steps{error}"


def _curve(unfolded: Unfolded) -> str | None:
    """A plot of the errors, if there is something to plot."""
    if not unfolded.steps or not unfolded.errors_px:
        return None
    path = unfolded.overlays[0].with_name("errors.png")
    path.write_bytes(against_steps({"this photo": {"error_2d": unfolded.errors_px}}))
    return str(path)


def build(name: str, answers: Answers) -> Any:
    """The page as gradio's Blocks, not yet served.

    Args:
        name: of the model, which stands above.
        answers: what it says.
    """
    gr = gradio()
    finds = (
        "" if answers.pose is None else f" Without a file, {Path(str(answers.pose)).name} finds those of one person."
    )

    def shown(photo: str | None, keypoints: str | None) -> list[Any]:
        said = answers.to(photo, keypoints)
        found = said.unfolded
        steps = found.steps if found else 0
        overlay, mesh, line = _at(steps, found)
        curve = None if found is None else _curve(found)
        slider = gr.update(value=steps, maximum=max(steps, 1), visible=steps > 0)
        return [said.message, found, slider, overlay, mesh, line, gr.update(value=curve, visible=curve is not None)]

    kept = ["download", "fullscreen"]  # not "share", which sends the picture to a hub
    with gr.Blocks(title="meshtto", analytics_enabled=False) as page:
        method = answers.method
        gr.Markdown(
            f"# meshtto\n{name}: {type(method).__name__}, {method.options.kind}, {method.options.backbone}, body "
            f"{Path(method.options.body).name}. 2D keypoints are what test-time optimisation fits the mesh to.{finds}"
        )
        with gr.Row():
            photo = gr.File(label="photo", type="filepath", elem_id="photo")
            keypoints = gr.File(label="its 2D keypoints (COCO or OpenPose), if you have them", type="filepath")
        message = gr.Markdown(WELCOME, elem_id="message")
        state = gr.State(None)
        slider = gr.Slider(0, max(answers.steps, 1), answers.steps, step=1, label="steps", visible=False)
        line = gr.Markdown("", elem_id="line")
        with gr.Row():
            overlay = gr.Image(label="mesh and 2D keypoints", interactive=False, format="png", buttons=kept, height=420)
            mesh = gr.Model3D(label="turn it", interactive=False, clear_color=(1.0, 1.0, 1.0, 1.0), height=420)
        curve = gr.Image(
            label="error against steps", interactive=False, format="png", buttons=kept, visible=False, height=300
        )
        outputs = [message, state, slider, overlay, mesh, line, curve]
        photo.change(shown, [photo, keypoints], outputs, api_name="recover")
        keypoints.change(shown, [photo, keypoints], outputs, api_name=False)
        slider.change(
            _at,
            [slider, state],
            [overlay, mesh, line],
            api_name=False,
            trigger_mode="always_last",
            show_progress="hidden",
        )
    return page
