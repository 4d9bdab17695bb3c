"""A body model in the format of SMPL: 24 joints and 10 shape coefficients.

In the packages a body is a subclass of `BodySource` and an entry of `BODIES` in ``meshtto/body/loading.py``; every
option ``body`` then accepts its name. This body is a cloud of 60 points, in place of the arrays of a real model.
"""

import numpy as np
import torch

from meshtto.body import load_body
from meshtto.body.arrays import BodyArrays
from meshtto.body.loading import BODIES, BodySource

VERTICES = 60


class Cloud(BodySource):
    """A body of random points, the same for all genders."""

    gendered = False

    def arrays(self, gender: str) -> BodyArrays:
        rng = np.random.default_rng(0)
        arrays = BodyArrays(
            name="cloud",
            gender="neutral",
            template_m=rng.uniform(-1, 1, (VERTICES, 3)),
            shape_dirs=rng.normal(0, 0.01, (VERTICES, 3, 10)),
            pose_dirs=np.zeros((VERTICES, 3, 0)),  # no pose-dependent shape
            joint_regressor=self._average(24),
            weights=np.full((VERTICES, 24), 1 / 24),
            faces=np.arange(VERTICES).reshape(-1, 3),
            picked=np.arange(21),
            extra_regressor=self._average(9),
            h36m_regressor=self._average(17),
            mean_rotations6d=np.tile([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 24),
            mean_shape=np.zeros(10),
        )
        arrays.check("the example")
        return arrays

    @staticmethod
    def _average(rows: int) -> np.ndarray:
        return np.full((rows, VERTICES), 1 / VERTICES)


if __name__ == "__main__":
    BODIES["cloud"] = Cloud
    body = load_body("cloud")
    output = body(torch.eye(3).expand(2, 24, 3, 3), torch.zeros(2, 10))
    print(tuple(output.vertices_m.shape))
    assert output.vertices_m.shape == (2, VERTICES, 3)
    del BODIES["cloud"]
