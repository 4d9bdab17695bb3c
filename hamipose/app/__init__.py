"""A page to try models on: a photo or a clip in, keypoints and their confidence out, two models side by side."""
