"""Build the configs of the two runs of an adaptation: training a start on the source, and adapting it."""

from pathlib import Path
from typing import Any

from hamipose.adapt.hardware import TrainingSettings
from hamipose.config.environment import configs_folder

__all__ = ["adapt_config", "built_in_people", "labeled_set", "start_config", "target_set"]

_EPOCHS = 5  # epochs per run; each ends with a checkpoint and scores


def target_set(footage: Path, boxes: str | None, frame_stride: int, teacher: str | None = None) -> dict[str, Any]:
    """Return the config of the footage as a set of unlabeled images.

    Args:
        footage: a folder of images or a video.
        boxes: COCO file with a box for each person; None for whole images.
        frame_stride: use every n-th frame of a video.
        teacher: COCO keypoint file with predictions to use as pseudo-labels; default: None.
    """
    if teacher is not None:
        wrapped = {"dataset": target_set(footage, boxes, frame_stride), "predictions": str(Path(teacher).resolve())}
        return {"class_path": "hamipose.data.PredictedKeypoints", "init_args": wrapped}
    if boxes is not None and not footage.is_dir():
        options = {"path": str(footage), "boxes": boxes, "frame_stride": frame_stride}
        return {"class_path": "hamipose.data.VideoPersonCrops", "init_args": options}
    if boxes is not None:
        return {"class_path": "hamipose.data.ImagePersonCrops", "init_args": {"root": str(footage), "boxes": boxes}}
    if footage.is_dir():
        return {"class_path": "hamipose.data.ImageFolder", "init_args": {"root": str(footage)}}
    return {"class_path": "hamipose.data.Video", "init_args": {"path": str(footage), "frame_stride": frame_stride}}


def labeled_set(images: Path, annotations: Path, box: str = "image") -> dict[str, Any]:
    """Return the config of a folder of images with a COCO keypoint file; `box` as for `CocoKeypoints`."""
    paths = {"root": ".", "images": str(images.resolve()), "annotations": str(annotations.resolve())}
    return {"class_path": "hamipose.data.CocoKeypoints", "init_args": {**paths, "skeleton": "body16", "box": box}}


def _people(settings: TrainingSettings, cache: Path, count: int, seed: int) -> dict[str, Any]:
    size = max(96, settings.image_size * 5 // 4)
    root = cache / f"photo-{count}-{size}px-seed{seed}"
    options = {"root": str(root), "style": "photo", "count": count, "size": size, "seed": seed}
    return {"class_path": "hamipose.data.SyntheticPeople", "init_args": options}


def built_in_people(settings: TrainingSettings, cache: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configs of the default source: its training and its validation set."""
    count = settings.people
    return _people(settings, cache, count, seed=0), _people(settings, cache, max(100, count // 10), seed=1)


def _shared_config(
    settings: TrainingSettings, folder: Path, cache: Path, source: dict[str, Any] | None, steps: int, seed: int
) -> dict[str, Any]:
    per_epoch = max(1, -(-steps // _EPOCHS))
    people, validation = built_in_people(settings, cache)
    data: dict[str, Any] = {
        "source": source or people,
        "image_size": settings.image_size,
        "batch_size": settings.batch_size,
        "steps_per_epoch": per_epoch,
        "num_workers": settings.workers,
    }
    if source is None:
        data["validation"] = validation
    network = {
        "skeleton": "body16",
        "backbone": settings.backbone,
        "weights": settings.weights,
        "deconv_channels": list(settings.deconv_channels),
    }
    training = {"warmup_steps": max(1, min(500, steps // 10)), "sigma": 1.5 if settings.image_size < 192 else 2.0}
    return {
        "inherit": str(configs_folder() / "base.yaml"),
        "seed_everything": seed,
        "model": {"init_args": {"network": network, "training": training}},
        "data": data,
        "trainer": {
            "max_epochs": _EPOCHS,
            "precision": settings.precision,
            "log_every_n_steps": min(20, per_epoch),
            # The last epoch is the result; no checkpoint is selected.
            "callbacks": [{"class_path": f"hamipose.methods.{name}"} for name in ("LastCheckpoint", "ScoreFile")],
            "logger": {"init_args": {"save_dir": str(folder.parent), "name": "", "version": folder.name}},
        },
    }


def start_config(
    settings: TrainingSettings, folder: Path, cache: Path, source: dict[str, Any] | None, seed: int
) -> dict[str, Any]:
    """Return the config of a run on the source alone.

    Args:
        settings: sizes and lengths.
        folder: folder of the run.
        cache: folder of built-in people.
        source: config of a labeled set; None for built-in people.
        seed: seed of the run.
    """
    config = _shared_config(settings, folder, cache, source, settings.start_steps, seed)
    config["model"]["class_path"] = "hamipose.methods.SourceOnly"
    config["model"]["init_args"]["optimizer"] = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    return config


def adapt_config(
    settings: TrainingSettings,
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
    """Return the config of the adaptation with HamiPose.

    Args:
        settings: sizes and lengths.
        folder: folder of the run.
        cache: folder of built-in people.
        source: config of a labeled set; None for built-in people.
        seed: seed of the run.
        target: config of the footage.
        start: checkpoint to start from.
        test: config of labeled frames, only scored; None if there are none.
        quantized: whether the start was trained on heatmaps with centers rounded to cells.
        pretrained: whether the start is an external pretrained network, which needs a lower learning rate.
    """
    config = _shared_config(settings, folder, cache, source, settings.adapt_steps, seed)
    arguments = config["model"]["init_args"]
    arguments["training"] |= {"init_from": str(start), "quantize": quantized}
    if target["class_path"].endswith(".PredictedKeypoints"):
        arguments["adaptation"] = {"pretrain_steps": 0, "labels": "predictions"}
    else:
        arguments["adaptation"] = {"pretrain_steps": 0, "labels": "keypoint", "discard_fraction": 0.5}
    config["data"]["target"] = [target]
    # Warping flattens small heatmaps, so at small sizes the student's view only changes colors.
    config["data"]["student_views"] = "photometric" if settings.image_size < 192 else "hamipose"
    if pretrained:
        arguments["network"] = {"skeleton": "body16", "weights": "none", "trained": settings.trained}
        arguments["optimizer"] = {"init_args": {"lr": 1e-4}}
    else:
        # The start is trained: steps are smaller than from scratch, and the target's loss, much smaller than the
        # source's, counts four times (docs/findings.md).
        arguments["adaptation"]["target_weight"] = 4.0
        arguments["optimizer"] = {"init_args": {"lr": 3e-4}}
    if test is not None:
        config["data"]["test"] = {"labeled": test}
    return config
