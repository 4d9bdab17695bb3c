"""The page: where the answer's parts stand and what asks for a new one."""

from pathlib import Path
from typing import Any

from hamipose.app.response import answer
from hamipose.inference.predictor import Predictor
from hamipose.models.person_detection import PersonDetector
from hamipose.viz.serving import import_gradio

__all__ = ["build"]

_COLUMNS = ["keypoint", "x [px]", "y [px]", "confidence"]
_KINDS = ["str", "number", "number", "number"]


def build(
    models: dict[str, Predictor],
    folder: Path,
    limit: int = 300,
    detector: PersonDetector | None = None,
    about: str = "",
) -> Any:
    """The page as gradio's Blocks, not yet served.

    Args:
        models: one or two, by the names that stand over them.
        folder: where drawn clips go.
        limit: of a clip, look at this many frames.
        detector: finds the people; without it, one person is looked for in the whole picture.
        about: what else is to be said on top.
    """
    gr = import_gradio()

    def shown(path: str | None, min_confidence: float) -> list[Any]:
        said = answer(list(models.values()), path, min_confidence, folder, limit, detector)
        parts: list[Any] = [said.message]
        for i in range(len(models)):
            picture = said.pictures[i] if said.pictures and not said.clips else None
            parts += [
                gr.update(value=picture, visible=not said.clips),
                gr.update(value=str(said.clips[i]) if said.clips else None, visible=bool(said.clips)),
                [list(row) for row in said.tables[i]] if said.tables else [],
            ]
        if len(models) == 2:
            parts.append([list(row) for row in said.comparison])
        return parts

    kept = ["download", "fullscreen"]  # not "share", which sends the picture to a hub
    with gr.Blocks(title="hamipose", analytics_enabled=False) as page:
        people = "One person is looked for in the whole picture."
        if detector is not None:
            people = f"People are found by {detector.name}; if it finds none, one is looked for in the whole picture."
        gr.Markdown("\n\n".join(["# hamipose", f"{people} Left limbs orange, right limbs blue.", about]))
        with gr.Row():
            file = gr.File(label="photo or clip", type="filepath")
            min_confidence = gr.Slider(0, 1, 0.1, step=0.05, label="draw keypoints from this confidence on")
        outputs: list[Any] = [gr.Markdown("Drop a photo or a clip.", elem_id="message")]
        with gr.Row():
            for name, model in models.items():
                with gr.Column():
                    gr.Markdown(f"## {name}\n{model.info.method}, {model.info.backbone}, {model.info.image_size} px")
                    outputs.append(gr.Image(label="keypoints", interactive=False, format="png", buttons=kept))
                    outputs.append(gr.Video(label="keypoints", interactive=False, visible=False))
                    outputs.append(gr.Dataframe(headers=_COLUMNS, datatype=_KINDS, label="confidence"))
        if len(models) == 2:
            headers = ["keypoint", *(f"confidence {name}" for name in models), "apart [px]"]
            outputs.append(gr.Dataframe(headers=headers, datatype=_KINDS, label="side by side"))
        file.change(shown, [file, min_confidence], outputs, api_name="find")
        min_confidence.release(shown, [file, min_confidence], outputs, api_name=False)
    return page
