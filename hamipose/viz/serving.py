"""Import of the optional library gradio, and the local server of the apps of both packages."""

import os
from typing import Any

from hamipose.errors import UserError
from hamipose.extras import require_packages

__all__ = ["import_gradio", "serve"]


def import_gradio() -> Any:
    """Return the module gradio, which only the apps need.

    Raises:
        UserError: gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
    require_packages("app", "gradio")
    import gradio

    return gradio


def serve(page: Any, port: int, *, share: bool = False, wait: bool = True) -> str:
    """Serve an app on this machine until Ctrl-C.

    Args:
        page: gradio page of the app.
        port: port to listen on.
        share: also make the app available through gradio's servers to everyone with the link.
        wait: return only after an interrupt; False: return at once.

    Returns:
        The address of the app.

    Raises:
        UserError: the port is not available.
    """
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}  # without downloads
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=share,
            quiet=True,
            inbrowser=False,
            prevent_thread_lock=True,
            footer_links=[],
            theme=import_gradio().themes.Default(**fonts),
        )
    except OSError as error:
        raise UserError(f"port {port} cannot be used ({error}); give another --port") from None
    print(f"page at {address}{' and ' + page.share_url if page.share_url else ''} (Ctrl-C ends it)", flush=True)
    if wait:
        page.block_thread()
    return address
