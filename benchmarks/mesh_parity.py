"""Compare meshtto with the released code of its paper on the same tensors: networks, losses, training step, evaluation.

    python benchmarks/mesh_parity.py --checkout CHECKOUT

CHECKOUT: working tree of fmx789/Meta-HMR, which is not part of this project. Its networks (ResNet-50, CLIFF), its
function `train_step` and its function `run_evaluation` run unchanged, on random images, boxes, labels and weights. The
built-in body takes the place of SMPL's files, and modules that only draw or read data sets are left out. Dropout is
off, because the two draw it in different orders. The options are those of configs/meshtto/released_code.yaml; learning
rates are larger, so that differences would be visible.
"""

import argparse
import copy
import importlib
import io
import sys
import tempfile
from collections import OrderedDict
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import roma
import torch
from records import append_record
from torch import Tensor, nn

from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.models.preprocess import normalize
from meshtto.body import Body, load_body
from meshtto.camera import Box, crop_box
from meshtto.joints import JOINTS49
from meshtto.losses import mesh_terms
from meshtto.methods import Dual
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions
from meshtto.methods.recover import detach_prediction
from meshtto.methods.targets import crop_size, target_from_evidence
from meshtto.metrics import MPJPE, PAMPJPE, PVE
from meshtto.regressors.published import from_published
from meshtto.test_time import SGD, Adam, Phase
from meshtto.types import MeshBatch

RESULT = Path(__file__).parent / "results" / "mesh_parity.json"
PEOPLE, SIZE = 3, (256, 192)
HEAD_LR, ALL_LR = 1e-6, 1e-6


# ------------------------------------------------------------------------------------------------ the released code


def leave_out(name: str, **content: Any) -> None:
    """Put a module without code in the place of one that is not needed or not installed."""
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


class ReplacedBody(nn.Module):
    """The built-in body with the interface of the reference's SMPL."""

    def __init__(self, *_: Any, **__: Any):
        super().__init__()
        self.body = load_body("builtin")
        self.faces = self.body.faces.numpy()

    def forward(self, betas: Tensor, body_pose: Tensor, global_orient: Tensor, pose2rot: bool = True) -> Any:
        """Pose the body."""
        if pose2rot:
            pose = torch.cat([global_orient, body_pose], 1).view(len(betas), 24, 3)
            rotations = roma.rotvec_to_rotmat(pose)
        else:
            rotations = torch.cat([global_orient, body_pose], 1)
        made = self.body(rotations, betas)
        return SimpleNamespace(vertices=made.vertices_m, joints=made.joints_m)


def import_reference(checkout: Path, folder: Path, body: Body) -> SimpleNamespace:
    """Return the modules of the released code that are compared."""
    sys.path.insert(0, str(checkout.resolve()))
    leave_out("torchgeometry", angle_axis_to_rotation_matrix=None, rotation_matrix_to_angle_axis=None)
    leave_out("utils.renderer", Renderer=None)
    leave_out("utils.renderer_pytorch3d", Renderer_Pytorch3d=None)
    leave_out("datasets", BaseDataset=None, MixedDataset=None, MixedDataset_wo3dpw=None)
    leave_out("torch.utils.tensorboard", SummaryWriter=None)
    leave_out("models.hrnet", hrnet_w32=None, hrnet_w48=None)
    leave_out("models.backbones.hrnet.cls_hrnet", HighResolutionNet=None)
    leave_out("models.backbones.hrnet.hrnet_config", cfg=None, update_config=None)
    leave_out("smplx.body_models", SMPL=nn.Module, SMPLOutput=None)
    leave_out("skimage")
    leave_out("skimage.transform", resize=None, rotate=None)
    networks: Any = importlib.import_module("models.meta_models")
    evaluation: Any = importlib.import_module("eval_cliff")
    trainer: Any = importlib.import_module("train.trainer_one_stage_cliff")
    for module in (evaluation, trainer):
        module.SMPL = ReplacedBody
    regressor = np.zeros((17, len(body.template) // 3), np.float32)
    regressor[:, body.h36m_index.numpy()] = body.h36m_rows.numpy()
    np.save(folder / "h36m.npy", regressor)
    evaluation.config.JOINT_REGRESSOR_H36M = str(folder / "h36m.npy")
    return SimpleNamespace(networks=networks, evaluation=evaluation, trainer=trainer)


def without_dropout(network: nn.Module) -> nn.Module:
    """Return a network whose dropout does nothing."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


@torch.no_grad()
def make_plausible(network: nn.Module, images: Tensor, box: Tensor, seed: int) -> None:
    """Give a network BatchNorm statistics of the images, and decoders whose outputs stay near the mean.

    With untrained statistics features would have arbitrary magnitude, and bodies would lie behind the camera.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name.startswith("dec") and name.endswith("weight"):
            parameter.data = 2e-3 * torch.randn(parameter.shape, generator=generator)
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
    network.train()(images, box)
    for layer in layers:
        layer.momentum = 0.1


# ------------------------------------------------------------------------------------------------ the same tensors


def make_batch(body: Body) -> MeshBatch:
    """Return random people with all labels, in the conventions of meshtto."""
    random = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=random)

    rotations = roma.rotvec_to_rotmat(uniform(-0.4, 0.4, PEOPLE, 24, 3))
    shape = uniform(-1, 1, PEOPLE, 10)
    joints = body(rotations, shape).joints_m
    joints = joints - joints[:, [JOINTS49.index("pelvis")]]
    height, width = SIZE
    keypoints = torch.stack([uniform(20, width - 20, PEOPLE, 49), uniform(20, height - 20, PEOPLE, 49)], 2)
    confidence = uniform(0.3, 1, PEOPLE, 49)
    image_size = torch.tensor([[640.0, 480.0], [800.0, 600.0], [512.0, 700.0]])
    box = Box(
        image_size / 2 + uniform(-40, 40, PEOPLE, 2), uniform(200, 400, PEOPLE), image_size, image_size.norm(dim=1)
    )
    scale = height / box.side_px
    matrix = torch.zeros(PEOPLE, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = torch.tensor([(width - 1) / 2, (height - 1) / 2]) - scale[:, None] * box.center_px
    return MeshBatch(
        image=torch.randint(0, 256, (PEOPLE, 3, *SIZE), generator=random, dtype=torch.uint8),
        keypoints_px=keypoints,
        keypoints_confidence=confidence,
        evidence_px=keypoints,
        evidence_confidence=confidence,
        joints_m=joints,
        joints_confidence=torch.ones(PEOPLE, 49),
        rotations=rotations,
        shape=shape,
        has_mesh=torch.ones(PEOPLE, dtype=torch.bool),
        center_px=box.center_px,
        side_px=box.side_px,
        image_size=image_size,
        focal_px=box.focal_px,
        matrix=matrix,
        mirrored=torch.zeros(PEOPLE, dtype=torch.bool),
        gender=torch.zeros(PEOPLE, dtype=torch.long),
        name=[str(i) for i in range(PEOPLE)],
        index=torch.arange(PEOPLE),
    )


def reference_items(batch: MeshBatch, method: Dual) -> list[dict[str, Any]]:
    """Return the samples in the conventions of the reference, where the first pixel's corner is (0, 0)."""
    corner = batch.matrix.clone()
    scale = corner[:, 0, 0, None]
    corner[:, :, 2] = torch.tensor([SIZE[1] / 2, SIZE[0] / 2]) - scale * (batch.center_px + 0.5)
    joints = torch.cat([batch.joints_m[:, 25:], batch.joints_confidence[:, 25:, None]], 2)
    values = {
        "img": normalize(batch.image),
        "pose": roma.rotmat_to_rotvec(batch.rotations).flatten(1),
        "betas": batch.shape,
        "keypoints": torch.cat([batch.keypoints_px + 0.5, batch.keypoints_confidence[..., None]], 2),
        "keypoints_full": torch.zeros(PEOPLE, 49, 3),
        "pose_3d": joints,
        "bbox_info": method.regressor.box_features(crop_box(batch)),
        "center": batch.center_px + 0.5,
        "scale": batch.side_px / 200,
        "focal_length": batch.focal_px,
        "img_h": batch.image_size[:, 1],
        "img_w": batch.image_size[:, 0],
        "crop_trans": corner,
        "has_smpl": torch.ones(PEOPLE),
        "has_pose_3d": torch.ones(PEOPLE),
        "gender": torch.zeros(PEOPLE),
        "scale_factor": torch.ones(PEOPLE),
        "rot_angle": torch.zeros(PEOPLE),
        "is_flipped": torch.zeros(PEOPLE),
        "full_trans": torch.zeros(PEOPLE, 2, 3),
        "inv_trans": torch.zeros(PEOPLE, 2, 3),
        "sample_index": torch.arange(PEOPLE),
    }
    return [{**{k: v[i] for k, v in values.items()}, "imgname": str(i), "dataset_name": "x"} for i in range(PEOPLE)]


def make_method(reference: SimpleNamespace, folder: Path, batch: MeshBatch) -> tuple[Dual, nn.Module, nn.Module]:
    """Return our method and the reference's two networks, with the same random weights."""
    content = load_config(configs_folder("meshtto") / "released_code.yaml")["model"]["init_args"]
    inner = Phase(1, SGD(HEAD_LR), inner="shared", masked=content["inner"]["masked"])
    test_time = [
        Phase(1, SGD(HEAD_LR), scope="head", inner="shared", masked=True),
        Phase(14, Adam(ALL_LR), scope="all", inner="shared", pseudo_mesh=False, loss={"keypoints": 1.0, "camera": 0.0}),
    ]
    torch.manual_seed(0)
    method = Dual(
        torch.optim.Adam,
        RegressorOptions(kind="cliff", backbone="resnet50", iterations=10, dropout=0.0),
        AuxiliaryOptions(iterations=3),
        inner=inner,
        auxiliary_loss=False,
    )
    method.test_time = replace(method.test_time, phases=test_time, tolerance=2e-5, stop_after_step=True)
    head = method.regressor.head
    mean = {"pose": head.init_pose[0].numpy(), "shape": head.init_shape[0].numpy(), "cam": head.init_cam[0].numpy()}
    np.savez(folder / "mean.npz", **mean)
    networks = []
    for seed, (name, ours) in enumerate((("cliff_meta", method.regressor), ("cliff_aux", method.auxiliary))):
        theirs = reference.networks.build_model(str(folder / "mean.npz"), False, "resnet", name, bbox_type="rect")
        without_dropout(theirs)
        make_plausible(theirs, normalize(batch.image), method.regressor.box_features(crop_box(batch)), seed)
        ours.load_state_dict(from_published(theirs.state_dict()))
        networks.append(theirs)
    return method, *networks


# ------------------------------------------------------------------------------------------------ comparisons


def largest(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))


@torch.no_grad()
def compare_networks(method: Dual, main: nn.Module, auxiliary: nn.Module, batch: MeshBatch) -> dict[str, float]:
    """Compare the estimates of both networks."""
    found = {}
    box = method.regressor.box_features(crop_box(batch))
    for name, ours, theirs in (("main", method.regressor, main), ("auxiliary", method.auxiliary, auxiliary)):
        estimate = ours.eval()(normalize(batch.image), box)
        for part, mine, other in zip(
            estimate._fields, estimate, theirs.eval()(normalize(batch.image), box), strict=True
        ):
            found[f"{name} network, {part}"] = largest(mine, other)
    return found


@torch.no_grad()
def compare_losses(
    reference: SimpleNamespace, method: Dual, items: dict[str, Any], batch: MeshBatch
) -> dict[str, float]:
    """Compare every term of the loss against the pseudo-mesh, and the projection."""
    e = reference.evaluation
    made, pseudo = method.eval()(batch), detach_prediction(method.pseudo(batch))
    target = target_from_evidence(batch, pseudo, masked=True)
    ours = mesh_terms(made, target, crop_size(batch), method.loss_weights)
    full = torch.stack([items["img_h"], items["img_w"]], 1)
    translation = e.cam_crop2full(made.camera, items["center"], items["scale"], full, items["focal_length"])
    ones = torch.ones(PEOPLE)
    pose, betas = e.smpl_losses(made.rotations, made.shape, pseudo.rotations, pseudo.shape, ones, use_pseudo=True)
    theirs = {
        "keypoints": e.compute_keypoints2d_loss_cliff(
            made.joints_m, translation, items["keypoints"].clone(), full.flip(1) / 2, items["focal_length"],
             items["crop_trans"], SIZE[0], SIZE[1], False,
        ),
        # The reference averages over its 24 joints, we over the 24 of 49 that count.
        "joints": e.keypoint_3d_loss(made.joints_m, pseudo.joints_m, ones, use_pseudo=True),
        "vertices": e.shape_loss(made.vertices_m, pseudo.vertices_m, ones),
        "rotations": pose,
        "shape": betas,
        "camera": torch.exp(-made.camera[:, 0] * 10).square().mean(),
    }  # fmt: skip
    return {f"loss, {name}": largest(getattr(ours, name).mean(), value) for name, value in theirs.items()}


def compare_training_step(
    reference: SimpleNamespace, method: Dual, main: nn.Module, auxiliary: nn.Module, items: dict, batch: MeshBatch
) -> dict[str, float]:
    """Compare the loss after the inner step and the gradients of one training step."""
    trainer = object.__new__(reference.trainer.Trainer_cliff)
    trainer.device = torch.device("cpu")
    weights = method.loss_weights
    trainer.options = SimpleNamespace(
        shape_loss_weight=weights.vertices, keypoint_loss_weight=weights.keypoints, pose_loss_weight=weights.rotations,
        beta_loss_weight=weights.shape, openpose_train_weight=weights.openpose, gt_train_weight=weights.truth,
        viz_debug=False, debug_dataset="",
    )  # fmt: skip
    trainer.model, trainer.model_aux = main, auxiliary
    trainer.smpl = ReplacedBody()
    trainer.criterion_shape, trainer.criterion_regr = nn.L1Loss(), nn.MSELoss()
    trainer.criterion_keypoints = nn.MSELoss(reduction="none")
    trainer.inner_steps, trainer.inner_lr, trainer.first_order = 1, HEAD_LR, True
    trainer.params = OrderedDict(main.meta_named_parameters())
    trainer.optimizer = torch.optim.SGD(main.parameters(), lr=0.0)
    trainer.joints_idx, trainer.joints_num = 25, 49
    trainer.crop_h, trainer.crop_w = SIZE
    trainer.render_focal_length, trainer.bbox_size = 5000.0, float(SIZE[0])
    _, losses = trainer.train_step(items, 0, 1)
    method.train()
    (objective,) = method.objective(batch).values()
    objective.backward()
    ours = dict(method.regressor.named_parameters())
    pairs = {
        name: (ours[name].grad.clone(), parameter.grad)
        for name, parameter in from_published(dict(main.named_parameters())).items()
    }
    assert set(pairs) == set(ours)
    found = {"training step, loss": abs(float(objective.detach()) - losses["loss"]) / abs(losses["loss"])}

    def norm_of_difference(part: str, pairs: dict[str, tuple[Tensor, Tensor]]) -> float:
        own, other = (torch.cat([pair[i].flatten() for n, pair in pairs.items() if n.startswith(part)]) for i in (0, 1))
        return float((own - other).norm() / other.norm())

    for part in ("head", "backbone"):
        found[f"training step, gradient of the {part}"] = norm_of_difference(part, pairs)
    # Rounding moves some activations of 50 layers across the kink of a ReLU. How far does it move our own gradient?
    for parameter in ours.values():
        parameter.grad = None
    with torch.no_grad():
        for parameter in method.regressor.backbone.parameters():
            parameter.mul_(1 + 1e-6 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    sum(method.objective(batch).values()).backward()  # type: ignore[union-attr]
    changed = {name: (ours[name].grad, own) for name, (own, _) in pairs.items()}
    found["(our gradient of the backbone, with weights changed by 1e-6)"] = norm_of_difference("backbone", changed)
    return found


def compare_evaluation(
    reference: SimpleNamespace, method: Dual, main: nn.Module, auxiliary: nn.Module, items: list, batch: MeshBatch
) -> dict[str, float]:
    """Compare the errors in mm after the test-time loop, with and without its early stop."""
    found = {}
    for stop in (False, True):
        options = SimpleNamespace(
            inner_lr=HEAD_LR, after_innerlr=ALL_LR, test_val_step=14, no_use_adam=False, no_inner_step=False,
            adapt_val_step=stop, use_openpose2d=False, shape_loss_weight=0.5, keypoint_loss_weight=5.0,
            pose_loss_weight=1.0, beta_loss_weight=0.001,
        )  # fmt: skip
        writer = SimpleNamespace(add_scalar=lambda *_: None)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            theirs = reference.evaluation.run_evaluation(
                copy.deepcopy(main).eval(), auxiliary.eval(), "3dpw", items, None, batch_size=PEOPLE,
                with_train=True, eval_epoch=0, summary_writer=writer, bbox_type="rect", options=options,
            )  # fmt: skip
        method.eval()
        recovery = method.recover(batch, tolerance=2e-5 if stop else None)
        vertices = method.bodies.label_vertices(batch.rotations, batch.shape, batch.gender)
        joints = [method.body.evaluation_joints(v) for v in (recovery.prediction.vertices_m, vertices)]
        metrics = (MPJPE(14), PAMPJPE(14), PVE())
        for metric, pair in zip(metrics, (joints, joints, (recovery.prediction.vertices_m, vertices)), strict=True):
            metric.update(*pair)
        kind = "early stop" if stop else "14 Adam steps"
        for name, metric, other in zip(("MPJPE", "PA-MPJPE", "PVE"), metrics, theirs, strict=True):
            found[f"evaluation, {kind}, {name}, mm"] = abs(float(metric.compute()) - float(other))
        before = method(batch).vertices_m
        moved = 1000 * float((recovery.prediction.vertices_m - before).norm(dim=-1).mean().detach())
        found[f"(evaluation, {kind}: mean movement of the vertices, mm)"] = moved
        found[f"(evaluation, {kind}: steps)"] = float(recovery.steps.float().mean())
    return found


def main() -> None:
    """Run all comparisons, and write them as JSON and as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    body = load_body("builtin")
    batch = make_batch(body)
    with tempfile.TemporaryDirectory() as name:
        arguments, sys.argv = sys.argv, sys.argv[:1]
        reference = import_reference(options.checkout, Path(name), body)
        sys.argv = arguments
        method, network, auxiliary = make_method(reference, Path(name), batch)
        items = reference_items(batch, method)
        together = torch.utils.data.default_collate(items)
        found = compare_networks(method, network, auxiliary, batch)
        found |= compare_losses(reference, method, together, batch)
        found |= compare_evaluation(reference, method, network, auxiliary, items, batch)
        with redirect_stdout(io.StringIO()):
            found |= compare_training_step(reference, method, network, auxiliary, together, batch)
    width = max(map(len, found))
    for line, value in found.items():
        print(f"{line:{width}}  {value:.2e}")
    options.out.unlink(missing_ok=True)
    command = "python benchmarks/mesh_parity.py --checkout CHECKOUT"
    rounded = {line: float(f"{value:.3g}") for line, value in found.items()}
    append_record(options.out, command, torch.device("cpu"), reference="fmx789/Meta-HMR@d7df13a", differences=rounded)


if __name__ == "__main__":
    main()
