"""Bounding box and run-length encoding of masks."""

import numpy as np

from hamipose.synthetic.labels import bounding_box, run_length_encoding


def test_run_length_encoding_and_bounding_box():
    mask = np.random.default_rng(0).random((7, 5)) < 0.4
    runs = run_length_encoding(mask)
    values = np.repeat(np.arange(len(runs["counts"])) % 2 == 1, runs["counts"])
    np.testing.assert_array_equal(values.reshape(mask.shape, order="F"), mask)
    assert bounding_box(np.zeros((4, 4), bool)) == [0, 0, 0, 0]
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True
    assert bounding_box(mask) == [3, 2, 5, 3]
