r"""Keypointwise gates: compare the gradients of target and source loss, and weight the source loss accordingly.

HamiPose (CVPR 2026) §3.2–3.3. For keypoint k let :math:`\hat g_s, \hat g_t` be the gradients of the two losses with
respect to its row of the last 1 × 1 layer, and :math:`\langle a, b\rangle = a^\top D_k^{-1} b`. Then

.. math::
    \rho_k = \frac{\langle \hat g_s, \hat g_t\rangle}{\|\hat g_s\| \|\hat g_t\|}, \qquad
    a_k = \frac{\langle \hat g_s, \hat g_t\rangle}{\langle \hat g_s, \hat g_s\rangle}, \qquad
    \varphi_k = \max(0, \tanh(\gamma \rho_k))\, c_k .

The paper replaces :math:`g_t` by :math:`g_t - (1 - \varphi_k) a_k g_s`. The two belong to different images, so the
second term applies to the heatmaps of the source, where it turns :math:`g_s` into :math:`w_k g_s` with

.. math:: w_k = 1 - \lambda (1 - \varphi_k) a_k ,

so that one backward pass of :math:`\sum_k w_k L_s^{(k)} + \lambda \sum_k L_t^{(k)}` is sufficient.

Module `alignment` compares gradients under a metric of `metric`; `gates` contains the gates.
"""

from hamipose.gating.alignment import confidence, decompose, pull_back
from hamipose.gating.gates import Gate, GateDecision, GateInputs, KeypointGate, OpenGate, UnifiedGate, WholeLayerGate
from hamipose.gating.metric import DiagonalMetric, ScalarMetric

__all__ = [
    "DiagonalMetric",
    "Gate",
    "GateDecision",
    "GateInputs",
    "KeypointGate",
    "OpenGate",
    "ScalarMetric",
    "UnifiedGate",
    "WholeLayerGate",
    "confidence",
    "decompose",
    "pull_back",
]
