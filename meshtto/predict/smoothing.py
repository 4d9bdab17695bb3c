r"""Smooth recovered people over the frames of a video: one identity and one body shape per person, less jitter.

People of consecutive frames are linked by the overlap of their boxes. Along a track, the shape is the mean over all
frames, and a Savitzky–Golay filter, which keeps any motion that is quadratic in time, smooths

- each joint's rotation, as a unit quaternion whose sign follows the previous frame;
- the position in the image and the apparent size: with focal length f, principal point c and body height h, position
  :math:`(x, y, z)` of the pelvis becomes :math:`(f x / z + c_x,\; f y / z + c_y,\; \log(f h / z))`.

So a person whose shape estimate changes from frame to frame keeps the size in the image, and depth no longer follows
these changes. Frames without this person, and those whose adaptation diverged, are interpolated before filtering.
"""

from collections.abc import Sequence

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.signal import savgol_filter
from torchvision.ops import box_iou

from meshtto.body import Body
from meshtto.predict.recover import Person

__all__ = ["link_people", "smooth_people", "smooth_series", "window_length"]

#: Duration of the filter's window. A step takes about half a second: a window of this length keeps it.
_WINDOW_S = 0.4
#: People are linked across gaps up to this long, if their boxes overlap by more than this.
_MAX_GAP_S, _MIN_OVERLAP = 0.5, 0.3
_ORDER = 2


def window_length(rate: float) -> int:
    """Return the odd number of frames of the filter's window, at least 5, the shortest that averages.

    Args:
        rate: frames per second.

    >>> window_length(30.0), window_length(5.0)
    (13, 5)
    """
    return max(5, 2 * round(_WINDOW_S * rate / 2) + 1)


def link_people(
    frames: Int[np.ndarray, " observation"],
    centers_px: Float[np.ndarray, "observation 2"],
    sides_px: Float[np.ndarray, " observation"],
    max_gap: int,
) -> Int[np.ndarray, " observation"]:
    """Return the track of each observation, numbered from 0 in order of appearance.

    In each frame, people are assigned to the tracks of at most `max_gap` frames ago so that the sum of the overlaps
    (intersection over union of the square boxes) is largest; an overlap of 0.3 or less starts a new track.

    Args:
        frames: frame numbers, ascending.
        centers_px: centers of the boxes.
        sides_px: their sides.
        max_gap: longest distance between two frames of a track.
    """
    reach_px = sides_px[:, None] / 2
    boxes = torch.from_numpy(np.concatenate([centers_px - reach_px, centers_px + reach_px], 1))
    tracks = np.zeros(len(frames), int)
    last: dict[int, int] = {}  # track → its last observation
    for frame in np.unique(frames):
        current = np.flatnonzero(frames == frame)
        open_tracks = [track for track, seen in last.items() if frame - frames[seen] <= max_gap]
        assigned: dict[int, int] = {}
        if open_tracks:
            previous = np.array([last[track] for track in open_tracks])
            overlap = box_iou(boxes[previous], boxes[current]).numpy()
            for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[row, column] > _MIN_OVERLAP:
                    assigned[int(current[column])] = open_tracks[row]
        for observation in current:
            track = assigned.get(int(observation), len(last))
            tracks[observation] = track
            last[track] = int(observation)
    return tracks


def smooth_series(
    frames: Int[np.ndarray, " known"],
    values: Float[np.ndarray, " known *value"],
    wanted: Int[np.ndarray, " sample"],
    window: int,
    step: int = 1,
) -> Float[np.ndarray, " sample *value"]:
    """Return values filtered over time.

    Args:
        frames: frame numbers, ascending and multiples of `step` apart.
        values: a value for each frame; those of other frames are interpolated linearly.
        wanted: frame numbers of the result, ascending, with the first and last frame to filter.
        window: odd number of samples of the filter; shorter series use the longest window that fits, and series of
            fewer than 3 samples are not filtered.
        step: distance of consecutive samples in frames.
    """
    grid = np.arange(wanted[0], wanted[-1] + 1, step)
    filled = np.stack([np.interp(grid, frames, column) for column in values.reshape(len(values), -1).T], 1)
    window = min(window, len(grid) - 1 + len(grid) % 2)
    if window > _ORDER:
        filled = savgol_filter(filled, window, _ORDER, axis=0, mode="interp")
    return filled[(wanted - wanted[0]) // step].reshape(-1, *values.shape[1:]).astype(values.dtype)


def _smooth_rotations(
    frames: Int[np.ndarray, " known"],
    rotations: Float[np.ndarray, "known joint 3 3"],
    wanted: Int[np.ndarray, " sample"],
    window: int,
    step: int,
) -> Float[np.ndarray, "sample joint 3 3"]:
    """Return rotations filtered as unit quaternions; see :func:`smooth_series`."""
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotations).double()).numpy()
    # q and −q are the same rotation: follow the previous frame.
    turned = (quaternions[1:] * quaternions[:-1]).sum(-1) < 0
    sign = np.where(np.concatenate([np.zeros_like(turned[:1]), turned]).cumsum(0) % 2, -1.0, 1.0)
    if len(quaternions) == 1:
        sign = np.ones(quaternions.shape[:2])
    filtered = smooth_series(frames, quaternions * sign[..., None], wanted, window, step)
    filtered /= np.linalg.norm(filtered, axis=-1, keepdims=True)
    turned_back = roma.unitquat_to_rotmat(torch.from_numpy(filtered))
    return np.asarray(turned_back.numpy(), rotations.dtype)


def smooth_people(
    people: Sequence[tuple[int, Person]], body: Body, rate: float, step: int = 1
) -> dict[int, list[Person]]:
    """Return the smoothed people of each frame, numbered by track.

    Args:
        people: frame number and recovered person, in order; vertices are not needed.
        body: the body of the predictions.
        rate: frames per second of the used frames.
        step: distance of the used frames in frame numbers.
    """
    if not people:
        return {}
    frames = np.array([frame for frame, _ in people])
    arrays = {name: np.stack([person.arrays[name] for _, person in people]) for name in _NEEDED}
    max_gap = max(step, round(_MAX_GAP_S * rate) * step)
    tracks = link_people(frames, arrays["box_center_px"], arrays["box_side_px"], max_gap)
    smoothed: dict[int, list[Person]] = {}
    for track in range(tracks.max() + 1):
        own = np.flatnonzero(tracks == track)
        changed = _smooth_track(frames[own], {k: v[own] for k, v in arrays.items()}, body, window_length(rate), step)
        for place, observation in enumerate(own.tolist()):
            frame, person = people[observation]
            new = {**person.arrays, **{name: values[place] for name, values in changed.items()}}
            smoothed.setdefault(frame, []).append(Person(track, new["vertices_m"], new, person.facts))
    return smoothed


_NEEDED = (
    "rotations",
    "shape",
    "translation_m",
    "focal_px",
    "principal_px",
    "box_center_px",
    "box_side_px",
    "diverged",
)


@torch.no_grad()
def _smooth_track(
    frames: Int[np.ndarray, " sample"], arrays: dict[str, np.ndarray], body: Body, window: int, step: int
) -> dict[str, np.ndarray]:
    """Return the arrays of one person that smoothing changes."""
    trusted = ~arrays["diverged"].astype(bool)
    if not trusted.any():
        trusted[:] = True
    heights_m = _heights(body, arrays["shape"])
    shape = arrays["shape"][trusted].mean(0)
    height_m = _heights(body, shape[None])[0]
    focal, position = arrays["focal_px"], arrays["translation_m"].astype(float)
    in_image = focal[:, None] * position[:, :2] / position[:, 2:] + arrays["principal_px"]
    size = np.log(focal * heights_m / position[:, 2])
    seen = np.concatenate([in_image, size[:, None]], 1)
    filtered = smooth_series(frames[trusted], seen[trusted], frames, window, step)
    depth_m = focal * height_m / np.exp(filtered[:, 2])
    lateral_m = (filtered[:, :2] - arrays["principal_px"]) * (depth_m / focal)[:, None]
    translation_m = np.concatenate([lateral_m, depth_m[:, None]], 1).astype(np.float32)
    rotations = _smooth_rotations(frames[trusted], arrays["rotations"][trusted], frames, window, step)
    shapes = np.repeat(shape[None], len(frames), 0).astype(np.float32)
    device = body.template.device
    made = body(*(torch.from_numpy(a).to(device) for a in (rotations, shapes, translation_m)))
    joints_m = made.joints_m.cpu().numpy()
    keypoints_px = focal[:, None, None] * joints_m[..., :2] / joints_m[..., 2:] + arrays["principal_px"][:, None]
    return {
        "rotations": rotations,
        "pose": roma.rotmat_to_rotvec(torch.from_numpy(rotations)).flatten(1).numpy(),
        "shape": shapes,
        "translation_m": translation_m,
        "joints_m": joints_m,
        "keypoints_px": keypoints_px.astype(np.float32),
        "vertices_m": made.vertices_m.cpu().numpy(),
    }


@torch.no_grad()
def _heights(body: Body, shapes: Float[np.ndarray, "sample 10"]) -> Float[np.ndarray, " sample"]:
    """Return the heights of bodies in the rest pose, in meters."""
    device = body.template.device
    rest = torch.eye(3, device=device).expand(len(shapes), 24, 3, 3)
    vertices_m = body(rest, torch.from_numpy(np.asarray(shapes, np.float32)).to(device)).vertices_m
    return np.ptp(vertices_m[..., 1].cpu().numpy(), axis=1)
