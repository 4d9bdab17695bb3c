"""Fixtures of the predict tests."""

from tests.helpers.mesh_fixtures import checkpoint, clip, get_error, hand_checkpoint, pose_checkpoint  # noqa: F401
