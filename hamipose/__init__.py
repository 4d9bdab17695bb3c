"""Pose estimation that adapts itself to footage nobody labelled (HamiPose, CVPR 2026)."""

import os

# albumentations asks the network for a newer version of itself on import; clusters without one would wait.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
