"""Compare this library with the reference code on the same files, heatmaps and weights.

    python benchmarks/parity.py --tll CHECKOUT --uniframe CHECKOUT --lsp FOLDER --samples FOLDER [--out parity.json]

CHECKOUT: working trees of thuml/Transfer-Learning-Library and VisionLearningGroup/UDA_PoseEstimation, which are not
part of this project. LSP: folder of the data set. SAMPLES: ``tests/data`` of open-mmlab/mmpose; its FreiHAND, RHD and
Human3.6M images are arranged in the original layouts, with their labels. Splits, orders and joint maps are compared on
random labels of full length. Needs the imports of the reference (scipy, tqdm, requests); removed names that it uses are
restored first.
"""

import argparse
import importlib
import json
import pickle
import random
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from hamipose.data import FreiHand, Hand3DStudio, Human36M, LeedsSports, RenderedHands, Surreal
from hamipose.data.base import KeypointDataset
from hamipose.data.evaluation_set import PlainCrops
from hamipose.data.views import PRESETS
from hamipose.heatmaps import encode
from hamipose.metrics import PaperPCK
from hamipose.models.reference_weights import build_reference_network
from hamipose.skeletons import BODY16, HAND21

MMPOSE_H36M = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]  # left before right in mmpose
RHD_FROM_HAND21 = [0, *(4 * f + j for f in range(5) for j in (4, 3, 2, 1))]  # an involution


def restore_old_names() -> None:
    """Restore names that the reference imports and newer libraries removed."""
    import torchvision.models.resnet as resnet

    resnet.model_urls = {}  # type: ignore[attr-defined]
    for name, content in (
        ("torchvision.models.utils", {"load_state_dict_from_url": None}),
        ("webcolors", {"name_to_rgb": lambda name: (0, 0, 0)}),
    ):
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules.setdefault(name, module)
    for old, new in (("int", int), ("float", float), ("bool", bool)):
        np.__dict__.setdefault(old, new)


def add_bare_package(name: str, path: Path) -> None:
    """Add a package without running its __init__, which imports all data sets and their libraries."""
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module


def reference(tll: Path, uniframe: Path) -> tuple[types.SimpleNamespace, types.SimpleNamespace]:
    """Return the compared parts of both repositories."""
    restore_old_names()
    for name in (
        "tllib",
        "tllib.vision",
        "tllib.vision.datasets",
        "tllib.vision.models",
        "tllib.utils",
        "tllib.utils.metric",
    ):
        add_bare_package(name, tll / name.replace(".", "/"))
    add_bare_package("lib", uniframe / "lib")
    for name in ("lib.datasets", "lib.models", "lib.transforms"):
        add_bare_package(name, uniframe / name.replace(".", "/"))
    parts = []
    for data, transforms, metric, models in (
        (
            "tllib.vision.datasets.keypoint_detection",
            "tllib.vision.transforms.keypoint_detection",
            "tllib.utils.metric.keypoint_detection",
            "tllib.vision.models.keypoint_detection.pose_resnet",
        ),
        ("lib.datasets", "lib.transforms.keypoint_detection", "lib.keypoint_detection", "lib.models.pose_resnet"),
    ):
        sets = {}
        for file, name in (
            ("lsp", "LSP"),
            ("freihand", "FreiHand"),
            ("rendered_hand_pose", "RenderedHandPose"),
            ("human36m", "Human36M"),
            ("hand_3d_studio", "Hand3DStudio"),
            ("surreal", "SURREAL"),
        ):
            module = importlib.import_module(f"{data}.{file}")
            module.check_exits = lambda root, file_name: None  # type: ignore[attr-defined]
            sets[name] = module
        parts.append(
            types.SimpleNamespace(
                sets=sets,
                util=importlib.import_module(f"{data}.util"),
                transforms=importlib.import_module(transforms),
                accuracy=importlib.import_module(metric).accuracy,
                models=importlib.import_module(models),
            )
        )
    return parts[0], parts[1]


def plain(ref: types.SimpleNamespace) -> Any:
    """Return the evaluation transform of the reference."""
    t = ref.transforms
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return t.Compose([t.Resize(256), t.ToTensor(), t.Normalize(mean, std)])


def compare(theirs: Any, ours: KeypointDataset, pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """Compare keypoints, weights, target heatmaps and images of the same samples.

    Args:
        theirs: a data set of the reference with its evaluation transform.
        ours: the same data set under protocol "paper".
        pairs: index of each sample in `theirs` and in `ours`.
    """
    crops = PlainCrops(ours, 256, len(ours.skeleton))
    apart, gray, weights, targets, shifts = [], [], 0, 0, []
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    for their_index, our_index in pairs:
        image, target, weight, meta = theirs[their_index]
        item = crops[our_index]
        labeled = torch.as_tensor(weight).flatten() > 0
        counted = item.visibility[0] > 0
        both = labeled & counted
        difference = item.keypoints_px[0] - torch.as_tensor(np.array(meta["keypoint2d"])).float()
        apart.append(float(difference[both].abs().max()))
        shifts.append(difference[both].mean(0))
        weights += bool((labeled == counted).all())
        drawn = encode(item.keypoints_px, (256, 256), visible=item.visibility > 0, quantize=True)[0]
        targets += bool((drawn - target).abs().max() < 1e-5)
        gray.append(float((item.image[0].float() - (image * std + mean) * 255).abs().mean()))
    return {
        "samples": len(pairs),
        "keypoints, largest difference in px of 256": round(max(apart), 4),
        "weights equal": weights,
        "target heatmaps equal": targets,
        "pictures, mean difference in gray levels": round(float(np.mean(gray)), 2),
    }


def lsp(ref: types.SimpleNamespace, folder: Path, every: int) -> dict[str, Any]:
    """Compare every n-th photo."""
    theirs = ref.sets["LSP"].LSP(str(folder), "test", download=False)
    ours = LeedsSports(str(folder), "test", protocol="paper")
    assert len(theirs) == len(ours) == 2000
    return compare(theirs, ours, [(i, i) for i in range(0, 2000, every)])


def hands_of(path: Path) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield annotations of a COCO file of hands, with keypoints 21 × 2."""
    for annotation in json.loads(path.read_text())["annotations"]:
        yield annotation, np.array(annotation["keypoints"], float).reshape(21, 3)[:, :2]


def freihand(ref: types.SimpleNamespace, samples: Path, work: Path) -> dict[str, Any]:
    """Compare real images, and the split of all 130,240 with constant labels for the others."""
    count = 32560
    made_up = [[30 + 7 * k, 40 + 5 * (k % 5), 1] for k in range(21)]
    xyz = [made_up] * count
    (work / "training" / "rgb").mkdir(parents=True)
    numbers = []
    for annotation, keypoints in hands_of(samples / "freihand" / "test_freihand.json"):
        number = annotation["image_id"]
        numbers.append(number)
        xyz[number % count] = [[u, v, 1] for u, v in keypoints.tolist()]
        (work / "training" / "rgb" / f"{number:08d}.jpg").symlink_to(
            (samples / "freihand" / f"{number:08d}.jpg").resolve()
        )
    identity = np.eye(3).tolist()
    for name, content in (("K", [identity] * count), ("mano", [0] * count), ("xyz", xyz)):
        (work / f"training_{name}.json").write_text(json.dumps(content))
    result: dict[str, Any] = {}
    for split in ("train", "test"):
        theirs = ref.sets["FreiHand"].FreiHand(str(work), split, download=False, transforms=plain(ref))
        ours = FreiHand(str(work), split, protocol="paper")
        same = [int(Path(s["name"]).stem) for s in theirs.samples] == ours.labels.file.tolist()
        result[f"{split}: the same {len(theirs)} samples in the same order"] = same
        pairs = [(i, i) for i in np.flatnonzero(np.isin(ours.labels.file, numbers)).tolist()]
        if pairs:
            result[split] = compare(theirs, ours, pairs)
    return result


def rhd(ref: types.SimpleNamespace, samples: Path, work: Path) -> dict[str, Any]:
    """Compare real images with one labeled hand each, and the selected hands of 2000 random pairs."""
    root = work / "RHD_published_v2"
    (root / "training" / "color").mkdir(parents=True)
    rng = np.random.default_rng(0)
    k, pictures = np.diag([300.0, 300.0, 1.0]), {}
    for annotation, keypoints in hands_of(samples / "rhd" / "test_rhd.json"):
        number, right = annotation["image_id"], annotation["hand_type"] == "right"
        uv = np.zeros((42, 3), np.float32)
        uv[21 * right : 21 * right + 21, :2] = keypoints
        uv[21 * right : 21 * right + 21, 2] = rng.random(21) > 0.1
        uv[21 * (not right) : 21 * (not right) + 21, :2] = rng.uniform(0, 20, (21, 2))
        pictures[number] = {"uv_vis": uv, "xyz": np.ones((42, 3)), "K": k}
        link = root / "training" / "color" / f"{number:05d}.png"
        link.symlink_to((samples / "rhd" / f"{number:05d}.png").resolve())
    real = len(pictures)
    for i in range(2000):
        uv = np.zeros((42, 3), np.float32)
        for hand in (0, 21):
            middle, spread = rng.uniform(0, 320, 2), rng.uniform(5, 60)
            uv[hand : hand + 21, :2] = middle + rng.normal(0, spread, (21, 2))
            uv[hand : hand + 21, 2] = rng.random(21) > rng.uniform(0, 0.3)
        pictures[20000 + i] = {"uv_vis": uv, "xyz": np.ones((42, 3)), "K": k}
    with open(root / "training" / "anno_training.pickle", "wb") as stream:
        pickle.dump(pictures, stream)
    theirs = ref.sets["RenderedHandPose"].RenderedHandPose(str(work), "train", download=False, transforms=plain(ref))
    ours = RenderedHands(str(root), "train", protocol="paper")
    names = [int(Path(s["name"]).stem) for s in theirs.samples]
    sides = [not s["left"] for s in theirs.samples]
    shown = [(i, i) for i, n in enumerate(names) if n in list(pictures)[:real]]
    return {
        f"the same {len(theirs)} of {2 * len(pictures)} hands kept": names == ours.labels.file.tolist(),
        "the same ones mirrored": sides == ours.labels.mirrored.tolist(),
        "train": compare(theirs, ours, shown),
    }


def h36m(ref: types.SimpleNamespace, samples: Path, work: Path) -> dict[str, Any]:
    """Compare four real frames with their joints, using the reference's preprocessing."""
    coco = json.loads((samples / "h36m" / "h36m_coco.json").read_text())
    people = {a["image_id"]: np.array(a["keypoints"]).reshape(17, 3)[MMPOSE_H36M, :2] for a in coco["annotations"]}
    (work / "annotations").mkdir(parents=True)
    (work / "images").mkdir()
    camera = {"1": {"R": np.eye(3).tolist(), "t": [0, 0, 0], "f": [1000, 1000], "c": [500, 500]}}
    for number, subject in enumerate((1, 5, 6, 7, 8, 9, 11)):
        image = coco["images"][number % len(people)]
        rng, images, joints = np.random.default_rng(subject), [], {}
        for frame in range(56):  # the reference uses every fifth
            name = f"s{subject}_{frame}.jpg"
            (work / "images" / name).symlink_to(next((samples / "h36m").rglob(image["file_name"])).resolve())
            pixels = people[image["id"]] + rng.normal(0, 3, (17, 2))
            joints[str(frame)] = np.column_stack([(pixels - 500) / 1000 * 4000, np.full(17, 4000.0)]).tolist()
            ids = {"id": frame, "action_idx": 2, "subaction_idx": 1, "frame_idx": frame, "cam_idx": 1}
            images.append({"file_name": name, "width": image["width"], "height": image["height"], **ids})
        for kind, content in (
            ("camera", camera),
            ("data", {"images": images}),
            ("joint_3d", {"2": {"1": joints}}),
        ):
            (work / "annotations" / f"Human36M_subject{subject}_{kind}.json").write_text(json.dumps(content))
    result: dict[str, Any] = {}
    for split, compared in (("train", 15), ("test", 12)):
        theirs = ref.sets["Human36M"].Human36M(str(work), split, download=False, transforms=plain(ref))
        ours = Human36M(str(work), split, protocol="paper")
        names = [bytes(f).decode() for f in ours.people.files]
        result[f"{split}: the same {len(names)} names in the same order, of {len(set(names))} frames"] = names == [
            s["name"] for s in theirs.samples
        ]
        result[split] = compare(theirs, ours, [(i, i) for i in range(compared)])
    return result


def squares(folder: Path, photos: Path, count: int, side: int = 300) -> list[str]:
    """Write square images in place of processed sets; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(photos.glob("*.jpg"))[:count]
    for i, source in enumerate(sources):
        cv2.imwrite(str(folder / f"{i:03d}.jpg"), cv2.resize(cv2.imread(str(source)), (side, side)))
    return [f"{i:03d}.jpg" for i in range(len(sources))]


def processed(ref: types.SimpleNamespace, photos: Path, work: Path) -> dict[str, Any]:
    """Compare SURREAL and H3D in the layout of RegDA's authors, with other photos and random joints."""
    rng = np.random.default_rng(0)
    k = np.diag([300.0, 300.0, 1.0]).tolist()

    def entry(name: str, joints: int) -> dict[str, Any]:
        keypoints = rng.uniform(20, 280, (joints, 2)).tolist()
        return {
            "name": name,
            "keypoint2d": keypoints,
            "keypoint3d": np.ones((joints, 3)).tolist(),
            "intrinsic_matrix": k,
        }

    result = {}
    for split in ("train", "val", "test"):
        for run in range(3):
            folder = work / "surreal" / split / f"run{run}"
            names = squares(folder, photos, 20)
            folder.with_suffix(".json").write_text(json.dumps([entry(n, 24) for n in names]))
        theirs = ref.sets["SURREAL"].SURREAL(str(work / "surreal"), split, download=False, transforms=plain(ref))
        ours = Surreal(str(work / "surreal"), split, protocol="paper")
        assert len(theirs) == len(ours)
        result[f"surreal-processed {split}"] = compare(theirs, ours, [(i, i) for i in range(len(ours))])
    root = work / "h3d" / "H3D_crop"
    entries = []
    for part in range(1, 6):
        entries += [
            {**entry(f"part{part}/{n}", 21), "without_object": i % 3 > 0}
            for i, n in enumerate(squares(root / f"part{part}", photos, 15))
        ]
    (root / "annotation.json").write_text(json.dumps(entries))
    for split in ("train", "test"):
        theirs = ref.sets["Hand3DStudio"].Hand3DStudio(str(work / "h3d"), split, download=False, transforms=plain(ref))
        hands = Hand3DStudio(str(root), split, protocol="paper")
        assert len(theirs) == len(hands)
        result[f"h3d {split}"] = compare(theirs, hands, [(i, i) for i in range(len(hands))])
    return result


def published_pck(tll: types.SimpleNamespace, uniframe: types.SimpleNamespace) -> dict[str, Any]:
    """Compare both averages on random heatmaps, with uneven batches and joints that some or all batches lack."""
    worst = {"tll": 0.0, "uniframe": 0.0}
    generator = np.random.default_rng(0)
    for skeleton in (BODY16, HAND21):
        groups = {**{n: skeleton.indices(k) for n, k in skeleton.groups.items()}, "all": skeleton.indices(skeleton.all)}
        for _ in range(20):
            ours = {v: PaperPCK(skeleton, variant=v) for v in worst}  # type: ignore[arg-type]
            by_group: dict[str, list[float]] = {g: [0.0, 0.0] for g in groups}
            by_joint = np.zeros((len(skeleton), 2))
            never = generator.integers(len(skeleton), size=2)
            for n in generator.integers(1, 9, size=4):
                keypoints = generator.uniform(-10, 266, (n, len(skeleton), 2)).astype(np.float32)
                visible = generator.random((n, len(skeleton))) > generator.uniform(0, 0.9)
                visible[:, never] = False
                truth = np.stack(
                    [
                        tll.util.generate_target(p, v[:, None].astype(np.float32), (64, 64), 2, (256, 256))[0]
                        for p, v in zip(keypoints, visible, strict=True)
                    ]
                )
                near = torch.from_numpy(keypoints + generator.normal(0, 8, keypoints.shape).astype(np.float32))
                maps = encode(near, (256, 256)) - 0.05
                maps[0, 0, 3, 5] = maps[0, 0, 9, 2] = 4.0  # a tie
                for metric in ours.values():
                    metric.update(maps, torch.from_numpy(keypoints), torch.from_numpy(visible.astype(np.int64)))
                accuracy = tll.accuracy(maps.numpy(), truth)[0]
                assert (accuracy == uniframe.accuracy(maps.numpy(), truth)[0]).all()
                for group, joints in groups.items():  # AverageMeterDict of group means
                    by_group[group][0] += sum(accuracy[j] for j in joints) / len(joints) * n
                    by_group[group][1] += n
                kept = accuracy != -1  # AverageMeterList with ignore_val
                by_joint[kept] += np.column_stack([accuracy * n, np.full(len(skeleton), n)])[kept]
            means = np.where(by_joint[:, 1] > 0, by_joint[:, 0] / np.maximum(by_joint[:, 1], 1), 0)
            for group, joints in groups.items():
                expected = {"tll": by_group[group][0] / by_group[group][1], "uniframe": means[joints].mean()}
                for variant, metric in ours.items():
                    apart = abs(float(metric.compute()[group]) - expected[variant])
                    worst[variant] = max(worst[variant], apart)
    return {f"largest difference, {variant}": float(f"{value:.1e}") for variant, value in worst.items()}


def targets(ref: types.SimpleNamespace) -> dict[str, Any]:
    """Compare target heatmaps of random keypoints inside and outside of the image."""
    points = np.random.default_rng(0).uniform(-12, 268, (500, 16, 2)).astype(np.float32)
    theirs = [ref.util.generate_target(p, np.ones((16, 1), np.float32), (64, 64), 2, (256, 256)) for p in points]
    ours = encode(torch.from_numpy(points), (256, 256), quantize=True)
    apart = max(float(np.abs(o.numpy() - t).max()) for o, (t, _) in zip(ours, theirs, strict=True))
    return {"keypoints": points.shape[0] * 16, "largest difference": float(f"{apart:.1e}")}


def ranges(tll: types.SimpleNamespace, uniframe: types.SimpleNamespace, draws: int = 20_000) -> dict[str, Any]:
    """Compare the distributions of augmentation parameters by the Kolmogorov-Smirnov statistic."""
    from scipy.stats import ks_2samp

    square, rng = Image.new("RGB", (256, 256)), np.random.default_rng(0)

    def window(ref: types.SimpleNamespace) -> tuple[float, float]:
        top, _, side, _ = ref.transforms.RandomResizedCrop.get_params(square, (0.6, 1.3))
        return 256 / side, (top + side / 2 - 128) / 256  # magnification and center of the window

    def parts(linear: np.ndarray) -> tuple[float, float, float]:
        """Return rotation, scale and shear of rotation · scale · shear."""
        first, second = linear[:, 0], linear[:, 1]
        square_of_scale = float(first @ first)
        shear = np.degrees(np.arctan(first @ second / square_of_scale))
        return float(np.degrees(np.arctan2(first[1], first[0]))), square_of_scale**0.5, float(shear)

    theirs: dict[str, list[float]] = {}
    ours: dict[str, list[float]] = {}

    def record(where: dict[str, list[float]], **values: float) -> None:
        for name, value in values.items():
            where.setdefault(name, []).append(value)

    for _ in range(draws):
        zoom, middle = window(tll)
        record(
            theirs, regda_zoom=zoom, regda_window=middle, regda_turn=tll.transforms.RandomRotation.get_params((-30, 30))
        )
        zoom, _ = window(uniframe)
        turn, shear, _, right, _, scale = uniframe.transforms.RandomAffineRotation.get_params(
            (-60, 60), (-30, 30), (0.05, 0.05), (0.6, 1.3), (256, 256)
        )
        record(
            theirs, uniframe_turn=turn, uniframe_shear=shear, uniframe_scale=scale * zoom, uniframe_shift=right / 256
        )
        cut = PRESETS["regda"].sample_window(rng)
        turn, scale, _ = parts(PRESETS["regda"].sample_matrix(256, rng)[0][:, :2])
        record(ours, regda_zoom=scale, regda_window=-float(cut.shift[1]) / cut.zoom, regda_turn=turn)
        cut = PRESETS["uniframe"].sample_window(rng)
        matrix, _ = PRESETS["uniframe"].sample_matrix(256, rng, cut)
        turn, scale, shear = parts(matrix[:, :2])
        middle_px = 127.5 - cut.shift * 256 / cut.zoom
        shift = (matrix[:, :2] @ middle_px + matrix[:, 2] - 127.5)[0] / 256
        record(ours, uniframe_turn=turn, uniframe_shear=shear, uniframe_scale=scale, uniframe_shift=float(shift))
    return {name: round(float(ks_2samp(theirs[name], ours[name]).statistic), 4) for name in theirs}


def networks(tll: types.SimpleNamespace, uniframe: types.SimpleNamespace, alignment: Any) -> dict[str, Any]:
    """Compare outputs of networks with random weights, loaded from the layouts of RegDA and UniFrame."""
    torch.manual_seed(0)
    upsampling = tll.models.Upsampling
    resnet = sys.modules[tll.models._resnet.__module__]
    made = {
        "RegDA, pretraining, ResNet-101": tll.models.pose_resnet101(16, pretrained_backbone=False),
        "RegDA, two heads, ResNet-101": alignment.PoseResNet2d(
            resnet.resnet101(pretrained=False), upsampling(2048), 256, 21, gl=torch.nn.Identity()
        ),
        "UniFrame, ResNet-101": uniframe.models.pose_resnet101(16, pretrained_backbone=False),
        "UniFrame, ResNet-50": uniframe.models.pose_resnet50(21, pretrained_backbone=False),
    }
    images, result = torch.randn(1, 3, 256, 256), {}
    for name, network in made.items():
        for (
            parameter
        ) in network.parameters():  # the published initialization of last layers is too small to show differences
            if parameter.std() < 0.01 and parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter)
        network.train()
        with torch.no_grad():
            network(torch.randn(2, 3, 256, 256))  # change the BatchNorm statistics
            network.eval()
            theirs, ours = network(images), build_reference_network(network.state_dict())(images)
        apart = float((theirs - ours).abs().max() / theirs.abs().max())
        result[name] = {"largest difference, relative": float(f"{apart:.1e}"), "within 1e-5": apart < 1e-5}
    return result


def main() -> None:
    """Compare, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tll", "uniframe", "lsp", "samples"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--every", type=int, default=10, help="use every n-th LSP photo")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "parity.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    Image.preinit()
    random.seed(0)
    tll, uniframe = reference(options.tll, options.uniframe)
    sys.modules["tllib.modules.gl"] = types.ModuleType("tllib.modules.gl")
    sys.modules["tllib.modules.gl"].WarmStartGradientLayer = torch.nn.Identity  # type: ignore[attr-defined]
    add_bare_package("tllib.alignment", options.tll / "tllib" / "alignment")
    regda = importlib.import_module("tllib.alignment.regda")
    result: dict[str, Any] = {"PCK": published_pck(tll, uniframe), "target heatmaps": targets(tll)}
    result["augmentation, distance of distributions"] = ranges(tll, uniframe)
    print(json.dumps(result, indent=1), flush=True)
    for name, ref in (("RegDA", tll), ("UniFrame", uniframe)):
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(temporary)
            result[name] = {
                "lsp": lsp(ref, options.lsp, options.every),
                "freihand": freihand(ref, options.samples, work / "freihand"),
                "rhd": rhd(ref, options.samples, work / "rhd"),
                "h36m": h36m(ref, options.samples, work / "h36m"),
                "processed": processed(ref, options.lsp / "images", work),
            }
        print(name, json.dumps(result[name], indent=1), flush=True)
    result["networks"] = networks(tll, uniframe, regda)
    print(json.dumps(result["networks"], indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    head = {
        "command": "python benchmarks/parity.py --tll … --uniframe … --lsp … --samples …",
        "date": time.strftime("%Y-%m-%d"),
        "reference": {"RegDA": "thuml/Transfer-Learning-Library@c4aa59e", "UniFrame": "UDA_PoseEstimation@baf85f1"},
    }
    options.out.write_text(json.dumps({**head, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
