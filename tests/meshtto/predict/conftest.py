"""Fixtures of the predict tests."""

from tests.helpers.mesh_models import checkpoint, clip, hand_checkpoint, pose_checkpoint, told  # noqa: F401
