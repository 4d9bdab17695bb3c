"""Synthetic people: bodies, poses, clothing and labels."""
