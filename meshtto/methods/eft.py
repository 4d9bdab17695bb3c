"""Exemplar fine-tuning (Joo et al., 3DV 2021): a trained regressor, all of it fine-tuned on each picture's 2D
joints.
"""

from lightning.pytorch.cli import OptimizerCallable

from meshtto.losses import LossWeights
from meshtto.methods.base import MeshMethod
from meshtto.methods.options import RegressorOptions, TestTimeOptions, TrainingOptions
from meshtto.test_time import Adam, Phase

__all__ = ["EFT"]

_EFT = TestTimeOptions(
    phases=[
        Phase(
            steps=20,
            rule=Adam(5e-6),
            scope="all",
            pseudo_mesh=False,
            loss={"shape_prior": 0.001, "lower_legs": 0.005},
        )
    ],
    tolerance=None,
    enough_2d=2e-4,
    ignored_joints=["right_ankle", "right_hip", "left_hip", "left_ankle", "pelvis"],
)


class EFT(MeshMethod):
    """Trained as :class:`~meshtto.methods.Regression`, on the same loss; at test time as EFT's code has it.

    That is Adam with 5e-6 on all weights from the trained ones for each picture, BatchNorm and dropout as in
    evaluation, at most 20 steps down 5 L_2D + 0.001 mean β² + L_cam + 0.005 L_legs, until L_2D is below 2e-4. Hips,
    pelvis and ankles are left out of L_2D, for annotators and bodies disagree about where they are; of an ankle only
    the direction of its lower leg is used, L_legs. All of it is on by default, and each part is an option
    (``test_time.phases`` with their `loss`, ``test_time.enough_2d``, ``test_time.ignored_joints``).

    Not as there: an image stops before the step that its error no longer needs, not after it (with
    ``test_time.stop_after_step`` it does); BatchNorm's factors are
    fine-tuned with all else where EFT keeps them; there is no factor 60, which Adam does not feel.

    Args:
        optimizer: makes the optimizer from parameters.
        regressor: the network.
        training: how it is trained.
        loss: weights of the loss's terms; `test_time` names those that differ at test time.
        test_time: how a body is fitted to its own picture.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        regressor: RegressorOptions = RegressorOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        loss: LossWeights = LossWeights(),  # noqa: B008
        test_time: TestTimeOptions = _EFT,
    ):
        super().__init__(optimizer, regressor, training, loss, test_time)
