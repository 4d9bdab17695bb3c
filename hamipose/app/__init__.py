"""Web page to try pose models: upload a photo or a clip, see its keypoints, and compare two models."""
