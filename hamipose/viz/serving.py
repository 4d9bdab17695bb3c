"""Gradio: the library if it is installed, and a page of it served on this machine. Pages of both packages use it."""

import os
from typing import Any

from hamipose.errors import UserError
from hamipose.extras import require_packages

__all__ = ["import_gradio", "serve"]


def import_gradio() -> Any:
    """The library, which only the page needs.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
    require_packages("app", "gradio")

    return import_gradio


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
        UserError: the port is taken.
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
            theme=import_gradio().themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),  # no download
        )
    except OSError as error:
        raise UserError(f"port {port} cannot be used ({error}); give another --port") from None
    print(f"page at {address}{' and ' + page.share_url if page.share_url else ''} (Ctrl-C ends it)", flush=True)
    if wait:
        page.block_thread()
    return address
