"""Body models behind one interface: SMPL through smplx, and a built-in body in SMPL's shape."""

from hamipose.extras import require_packages

require_packages("meshtto", "smplx")

from meshtto.body.layer import Body, BodyOutput  # noqa: E402
from meshtto.body.loading import BODIES, body_source, load_body, mean_parameters  # noqa: E402
from meshtto.body.shape_transfer import ShapeMap, match_shapes, with_shapes_of  # noqa: E402

__all__ = [
    "BODIES",
    "Body",
    "BodyOutput",
    "ShapeMap",
    "body_source",
    "load_body",
    "match_shapes",
    "mean_parameters",
    "with_shapes_of",
]
