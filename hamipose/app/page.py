"""The page, with gradio: where the answer's parts stand and what asks for a new one."""

from pathlib import Path
from typing import Any

from hamipose.app.answer import answer
from hamipose.errors import InputError
from hamipose.inference.predictor import Predictor

__all__ = ["build", "gradio", "serve"]

_COLUMNS = ["keypoint", "x [px]", "y [px]", "confidence"]
_KINDS = ["str", "number", "number", "number"]


def gradio() -> Any:
    """The library, which only the page needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise InputError(f"app wants {error.name}, which is not installed: pip install 'hamipose[demo]'") from None
    return gradio


def build(models: dict[str, Predictor], folder: Path, limit: int = 300) -> Any:
    """The page as gradio's Blocks, not yet served.

    Args:
        models: one or two, by the names that stand over them.
        folder: where drawn clips go.
        limit: of a clip, look at this many frames.
    """
    gr = gradio()

    def shown(path: str | None, least: float) -> list[Any]:
        said = answer(list(models.values()), path, least, folder, limit)
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
        gr.Markdown("# hamipose\nOne person is looked for in the whole picture. Left limbs orange, right limbs blue.")
        with gr.Row():
            file = gr.File(label="photo or clip", type="filepath")
            least = gr.Slider(0, 1, 0.1, step=0.05, label="draw keypoints from this confidence on")
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
        file.change(shown, [file, least], outputs, api_name="find")
        least.release(shown, [file, least], outputs, api_name=False)
    return page


def serve(page: Any, port: int, *, share: bool = False, wait: bool = True) -> str:
    """Serve the page on this machine, until Ctrl-C unless told otherwise.

    Args:
        page: of :func:`build`.
        port: to listen on.
        share: also through gradio's servers, for anyone with the link.
        wait: return only when it is interrupted.

    Returns:
        Its address.

    Raises:
        InputError: the port is taken.
    """
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=share,
            quiet=True,
            inbrowser=False,
            prevent_thread_lock=True,
            footer_links=[],
            theme=gradio().themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),  # no download
        )
    except OSError as error:
        raise InputError(f"port {port} cannot be used ({error}); give another --port") from None
    print(f"page at {address}{' and ' + page.share_url if page.share_url else ''} (Ctrl-C ends it)", flush=True)
    if wait:
        page.block_thread()
    return address
