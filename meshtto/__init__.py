"""Human mesh recovery with test-time optimization inside training (dual networks, NeurIPS 2024)."""

from hamipose.version import __version__

__all__ = ["__version__"]
