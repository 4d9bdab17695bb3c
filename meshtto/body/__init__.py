"""Body models behind one interface: SMPL through smplx, and a built-in body in SMPL's shape."""

from meshtto.body.layer import Body, BodyOutput
from meshtto.body.loading import body_source, load_body, mean_parameters

__all__ = ["Body", "BodyOutput", "body_source", "load_body", "mean_parameters"]
