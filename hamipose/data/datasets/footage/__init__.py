"""A user's own images and videos, without labels."""
