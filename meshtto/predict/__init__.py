"""From a user's pictures to meshes, files and pictures of them."""
