"""Human mesh recovery with test-time optimization inside training (dual networks, NeurIPS 2024)."""

__version__ = "0.1.0"
