"""The two runs of an adaptation as configs, which `fit` takes: a start on built-in people, then the adaptation."""

from pathlib import Path
from typing import Any

from hamipose.adapt.hardware import Plan
from hamipose.config.environment import configs_folder

__all__ = ["adapt_config", "built_in_people", "labeled_set", "start_config", "target_set"]

_EPOCHS = 5  # each run is cut into as many, with a checkpoint and scores at the end of each


def target_set(footage: Path, boxes: str | None, frame_stride: int, teacher: str | None = None) -> dict[str, Any]:
    """Return the footage as a set of unlabeled images, with the predictions in `teacher` if it is given."""
    if teacher is not None:
        carried = {"dataset": target_set(footage, boxes, frame_stride), "predictions": str(Path(teacher).resolve())}
        return {"class_path": "hamipose.data.PredictedKeypoints", "init_args": carried}
    if boxes is not None and not footage.is_dir():
        options = {"path": str(footage), "boxes": boxes, "frame_stride": frame_stride}
        return {"class_path": "hamipose.data.VideoPersonCrops", "init_args": options}
    if boxes is not None:
        return {"class_path": "hamipose.data.ImagePersonCrops", "init_args": {"root": str(footage), "boxes": boxes}}
    if footage.is_dir():
        return {"class_path": "hamipose.data.ImageFolder", "init_args": {"root": str(footage)}}
    return {"class_path": "hamipose.data.Video", "init_args": {"path": str(footage), "frame_stride": frame_stride}}


def labeled_set(images: Path, annotations: Path, box: str = "image") -> dict[str, Any]:
    """A folder of pictures with a COCO keypoint file as a labeled set; `box` as for `CocoKeypoints`."""
    where = {"root": ".", "images": str(images.resolve()), "annotations": str(annotations.resolve())}
    return {"class_path": "hamipose.data.CocoKeypoints", "init_args": {**where, "skeleton": "body16", "box": box}}


def _people(plan: Plan, cache: Path, count: int, seed: int) -> dict[str, Any]:
    size = max(96, plan.image_size * 5 // 4)
    root = cache / f"photo-{count}-{size}px-seed{seed}"
    options = {"root": str(root), "look": "photo", "count": count, "size": size, "seed": seed}
    return {"class_path": "hamipose.data.SyntheticPeople", "init_args": options}


def built_in_people(plan: Plan, cache: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is learnt from, and what validates, where no other source is given."""
    return _people(plan, cache, plan.people, seed=0), _people(plan, cache, max(100, plan.people // 10), seed=1)


def _common(plan: Plan, folder: Path, cache: Path, source: dict[str, Any] | None, steps: int, seed: int) -> dict:
    per_epoch = max(1, -(-steps // _EPOCHS))
    people, validation = built_in_people(plan, cache)
    data: dict[str, Any] = {
        "source": source or people,
        "image_size": plan.image_size,
        "batch_size": plan.batch_size,
        "steps_per_epoch": per_epoch,
        "num_workers": plan.workers,
    }
    if source is None:
        data["validation"] = validation
    network = {
        "skeleton": "body16",
        "backbone": plan.backbone,
        "weights": plan.weights,
        "deconv_channels": list(plan.deconv_channels),
    }
    training = {"warmup_steps": max(1, min(500, steps // 10)), "sigma": 1.5 if plan.image_size < 192 else 2.0}
    return {
        "inherit": str(configs_folder() / "base.yaml"),
        "seed_everything": seed,
        "model": {"init_args": {"network": network, "training": training}},
        "data": data,
        "trainer": {
            "max_epochs": _EPOCHS,
            "precision": plan.precision,
            "log_every_n_steps": min(20, per_epoch),
            # The last epoch is what is used: nothing here chooses among checkpoints.
            "callbacks": [{"class_path": f"hamipose.methods.{name}"} for name in ("LastCheckpoint", "ScoreFile")],
            "logger": {"init_args": {"save_dir": str(folder.parent), "name": "", "version": folder.name}},
        },
    }


def start_config(plan: Plan, folder: Path, cache: Path, source: dict[str, Any] | None, seed: int) -> dict[str, Any]:
    """A run on the source alone.

    Args:
        plan: sizes.
        folder: of the run.
        cache: where built-in people are kept.
        source: another labeled set as class path and arguments; built-in people where None.
        seed: of the run.
    """
    config = _common(plan, folder, cache, source, plan.start_steps, seed)
    config["model"]["class_path"] = "hamipose.methods.SourceOnly"
    config["model"]["init_args"]["optimizer"] = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    return config


def adapt_config(
    plan: Plan,
    folder: Path,
    cache: Path,
    source: dict[str, Any] | None,
    seed: int,
    *,
    target: dict[str, Any],
    start: Path,
    test: dict[str, Any] | None,
    quantized: bool = False,
    pretrained: bool = False,
) -> dict[str, Any]:
    """A run of HamiPose from the start.

    Args:
        plan: sizes.
        folder: of the run.
        cache: where built-in people are kept.
        source: as for :func:`start_config`.
        seed: of the run.
        target: the footage.
        start: checkpoint to start from.
        test: labeled frames, if there are any; they are scored and choose nothing.
        quantized: how the targets were encoded that the start learned.
        pretrained: the start is a network that others have trained: its points are the labels, and steps are small.
    """
    config = _common(plan, folder, cache, source, plan.adapt_steps, seed)
    config["model"]["init_args"]["training"]["init_from"] = str(start)
    config["model"]["init_args"]["training"]["quantize"] = quantized
    config["model"]["init_args"]["adaptation"] = {"pretrain_steps": 0}
    # Small heatmaps are flattened by warping them: there, the student's view differs in its colors alone.
    if target["class_path"].endswith(".PredictedKeypoints"):
        config["model"]["init_args"]["adaptation"]["labels"] = "predictions"
    config["data"]["target"] = [target]
    config["data"]["student_views"] = "photometric" if plan.image_size < 192 else "hamipose"
    if pretrained:
        arguments = config["model"]["init_args"]
        arguments["network"] = {"skeleton": "body16", "weights": "none", "trained": plan.trained}
        arguments["adaptation"].setdefault("labels", "keypoint")
        arguments["adaptation"] |= {"discard_fraction": 0.5}
        arguments["optimizer"] = {"init_args": {"lr": 1e-4}}
    if test is not None:
        config["data"]["test"] = {"labeled": test}
    return config
