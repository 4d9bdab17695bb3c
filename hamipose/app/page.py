"""The web page: layout of the response and its events."""

from pathlib import Path
from typing import Any

from hamipose.app.response import respond
from hamipose.inference.predictor import Predictor
from hamipose.models.person_detection import PersonDetector
from hamipose.viz.serving import import_gradio

__all__ = ["build_page"]

_COLUMNS = ["keypoint", "x [px]", "y [px]", "confidence"]
_KINDS = ["str", "number", "number", "number"]


def build_page(
    models: dict[str, Predictor],
    folder: Path,
    limit: int = 300,
    detector: PersonDetector | None = None,
    note: str = "",
) -> Any:
    """Build the page as gradio Blocks, not yet served.

    Args:
        models: one or two models by the names in their headings.
        folder: output folder for drawn clips.
        limit: maximum number of frames of a clip.
        detector: person detector; without it, the whole image is one person.
        note: text below the heading.
    """
    gr = import_gradio()

    def update(path: str | None, min_confidence: float) -> list[Any]:
        response = respond(list(models.values()), path, min_confidence, folder, limit, detector)
        parts: list[Any] = [response.message]
        for i in range(len(models)):
            image = response.images[i] if response.images and not response.clips else None
            clip = str(response.clips[i]) if response.clips else None
            parts += [
                gr.update(value=image, visible=not response.clips),
                gr.update(value=clip, visible=bool(response.clips)),
                [list(row) for row in response.tables[i]] if response.tables else [],
            ]
        if len(models) == 2:
            parts.append([list(row) for row in response.comparison])
        return parts

    buttons = ["download", "fullscreen"]  # not "share", which uploads the image to a hub
    with gr.Blocks(title="hamipose", analytics_enabled=False) as page:
        people = "The whole image is used as one person."
        if detector is not None:
            people = f"People are detected by {detector.name}; without a detection, the whole image is used."
        gr.Markdown("\n\n".join(["# hamipose", f"{people} Left limbs orange, right limbs blue.", note]))
        with gr.Row():
            file = gr.File(label="photo or clip", type="filepath")
            min_confidence = gr.Slider(0, 1, 0.1, step=0.05, label="minimum confidence of drawn keypoints")
        outputs: list[Any] = [gr.Markdown("Drop a photo or a clip.", elem_id="message")]
        with gr.Row():
            for name, model in models.items():
                with gr.Column():
                    gr.Markdown(f"## {name}\n{model.info.method}, {model.info.backbone}, {model.info.image_size} px")
                    outputs.append(gr.Image(label="keypoints", interactive=False, format="png", buttons=buttons))
                    outputs.append(gr.Video(label="keypoints", interactive=False, visible=False))
                    outputs.append(gr.Dataframe(headers=_COLUMNS, datatype=_KINDS, label="confidence"))
        if len(models) == 2:
            headers = ["keypoint", *(f"confidence {name}" for name in models), "distance [px]"]
            outputs.append(gr.Dataframe(headers=headers, datatype=_KINDS, label="side by side"))
        file.change(update, [file, min_confidence], outputs, api_name="find")
        min_confidence.release(update, [file, min_confidence], outputs, api_name=False)
    return page
