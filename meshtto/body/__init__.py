"""Body models behind one interface: SMPL through smplx, and a built-in body in SMPL's shape."""

from hamipose.extras import require_packages

require_packages("meshtto", "smplx")

from meshtto.body.layer import Body, BodyOutput  # noqa: E402
from meshtto.body.loading import body_source, load_body, mean_parameters  # noqa: E402

__all__ = ["Body", "BodyOutput", "body_source", "load_body", "mean_parameters"]
