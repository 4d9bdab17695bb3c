"""Exemplar fine-tuning (Joo et al., 3DV 2021): fine-tune all of a trained regressor on each image's 2D joints."""

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
    """Exemplar fine-tuning: trained as :class:`~meshtto.methods.Regression`, adapted as in EFT's code.

    For each image, Adam with learning rate 5e-6 updates all weights, starting from the trained ones, with BatchNorm and
    dropout in eval mode: at most 20 steps on 5 L_2D + 0.001 mean β² + L_cam + 0.005 L_legs, until L_2D is below 2e-4.
    Hips, pelvis and ankles are excluded from L_2D, because annotators and bodies disagree about their position; of the
    ankles only the direction of the lower leg is used, L_legs. All of this is the default, and each part is an option
    (``test_time.phases`` with their `loss`, ``test_time.enough_2d``, ``test_time.ignored_joints``).

    Differences from EFT's code: an image stops before the step that its error no longer needs, not after it (with
    ``test_time.stop_after_step`` it stops after it); BatchNorm's affine parameters are fine-tuned too, while EFT keeps
    them; there is no factor 60, which does not affect Adam.

    Args:
        optimizer: creates the optimizer from parameters.
        regressor: options of the network.
        training: options of training.
        loss: weights of the loss terms; `test_time` overrides some of them at test time.
        test_time: options of test-time adaptation.
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
