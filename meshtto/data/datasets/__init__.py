"""Data sets of people with body meshes or joints, one module per source."""
