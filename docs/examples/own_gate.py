"""A gate: keep the source loss where the gradients agree, and reduce it where they conflict.

Put this file into the folder where you call ``python -m hamipose`` and name the class in a config::

    model: {init_args: {gate: {class_path: own_gate.ReduceConflicts, init_args: {factor: 0.5}}}}
"""

import torch

from hamipose.gating import Gate, GateDecision, GateInputs, decompose


class ReduceConflicts(Gate):
    """Multiply the source loss of a keypoint by `factor` if its two gradients point away from each other.

    Args:
        factor: weight of a keypoint in conflict.
    """

    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor

    def decide(self, inputs: GateInputs) -> GateDecision:
        cosine, projection = decompose(inputs.source, inputs.target, inputs.inverse_metric)
        weight = torch.where(cosine < 0, self.factor, 1.0)
        return GateDecision(weight, cosine, projection, openness=torch.ones_like(cosine))


if __name__ == "__main__":
    source = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    target = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])  # the gradients agree for the first keypoint only
    decision = ReduceConflicts()(source, target, torch.ones(2), progress=1.0, target_weight=1.0)
    print(decision.weight.tolist())
    assert decision.weight.tolist() == [1.0, 0.5]
