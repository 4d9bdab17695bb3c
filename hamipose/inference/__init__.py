"""A trained model at work: photos and videos in, keypoints, tables and pictures out.

>>> import hamipose
>>> model = hamipose.load("runs/adapted")  # doctest: +SKIP
>>> model.predict(["photo.jpg"])[0].keypoints_px  # doctest: +SKIP
"""
