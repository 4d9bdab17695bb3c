"""Training infrastructure of both packages: base module, optimizer and schedule, exact checkpoints, callbacks.

Nothing in this folder depends on poses or meshes.
"""
