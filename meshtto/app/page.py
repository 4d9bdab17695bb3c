"""The web page: layout of the response, and a slider over its steps."""

from pathlib import Path
from typing import Any

from hamipose.viz.serving import import_gradio
from meshtto.app.response import WELCOME, Responder
from meshtto.app.steps import AdaptationSteps
from meshtto.evaluation.plots import plot_step_errors

__all__ = ["build_page"]


def _show_step(step: int, adapted: AdaptationSteps | None) -> tuple[str | None, str | None, str]:
    """Return overlay, mesh and caption after a number of steps."""
    if adapted is None:
        return None, None, ""
    step = min(max(int(step), 0), adapted.steps)
    error = f": {adapted.errors_px[step]:.1f} px from the 2D keypoints" if adapted.errors_px else ""
    return str(adapted.overlays[step]), str(adapted.meshes[step]), f"after {step} of {adapted.steps} steps{error}"


def _curve(adapted: AdaptationSteps) -> str | None:
    """Plot the errors, if there are any."""
    if not adapted.steps or not adapted.errors_px:
        return None
    path = adapted.overlays[0].with_name("errors.png")
    path.write_bytes(plot_step_errors({"this photo": {"error_2d": adapted.errors_px}}))
    return str(path)


def build_page(name: str, responder: Responder) -> Any:
    """Build the page as gradio Blocks, not yet served.

    Args:
        name: name of the model, for the heading.
        responder: responds to photos.
    """
    gr = import_gradio()
    finds = (
        ""
        if responder.pose is None
        else f" Without a file, {Path(str(responder.pose)).name} finds people and their keypoints."
    )

    def respond(photo: str | None, keypoints: str | None) -> list[Any]:
        response = responder.respond(photo, keypoints)
        found = response.steps
        steps = found.steps if found else 0
        overlay, mesh, line = _show_step(steps, found)
        curve = None if found is None else _curve(found)
        slider = gr.update(value=steps, maximum=max(steps, 1), visible=steps > 0)
        return [response.message, found, slider, overlay, mesh, line, gr.update(value=curve, visible=curve is not None)]

    buttons = ["download", "fullscreen"]  # not "share", which uploads the image to a hub
    with gr.Blocks(title="meshtto", analytics_enabled=False) as page:
        method = responder.method
        gr.Markdown(
            f"# meshtto\n{name}: {type(method).__name__}, {method.options.kind}, {method.options.backbone}, body "
            f"{Path(method.options.body).name}. Test-time optimization fits the mesh to 2D keypoints.{finds}"
        )
        with gr.Row():
            photo = gr.File(label="photo", type="filepath", elem_id="photo")
            keypoints = gr.File(label="its 2D keypoints (COCO or OpenPose), optional", type="filepath")
        message = gr.Markdown(WELCOME, elem_id="message")
        state = gr.State(None)
        slider = gr.Slider(0, max(responder.steps, 1), responder.steps, step=1, label="steps", visible=False)
        line = gr.Markdown("", elem_id="line")
        with gr.Row():
            overlay = gr.Image(
                label="mesh and 2D keypoints", interactive=False, format="png", buttons=buttons, height=420
            )
            mesh = gr.Model3D(label="mesh", interactive=False, clear_color=(1.0, 1.0, 1.0, 1.0), height=420)
        curve = gr.Image(
            label="error against steps", interactive=False, format="png", buttons=buttons, visible=False, height=300
        )
        outputs = [message, state, slider, overlay, mesh, line, curve]
        photo.change(respond, [photo, keypoints], outputs, api_name="recover")
        keypoints.change(respond, [photo, keypoints], outputs, api_name=False)
        slider.change(
            _show_step,
            [slider, state],
            [overlay, mesh, line],
            api_name=False,
            trigger_mode="always_last",
            show_progress="hidden",
        )
    return page
