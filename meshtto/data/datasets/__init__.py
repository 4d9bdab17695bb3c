"""Data sets of people with body meshes or joints, one module per source."""

from hamipose.extras import require_packages

require_packages("meshtto", "roma")
