"""The renderer, written in warp."""
