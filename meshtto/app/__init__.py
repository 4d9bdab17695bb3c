"""A page to try a model on: a photo in, its people's meshes out, to be turned, and every step of adaptation."""
