"""Web page to try a mesh model: upload a photo, rotate its people's meshes, and step through adaptation."""

from hamipose.extras import require_packages

require_packages("meshtto", "trimesh")
