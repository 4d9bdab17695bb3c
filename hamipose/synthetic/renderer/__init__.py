"""Ray-casting renderer, written in warp."""
