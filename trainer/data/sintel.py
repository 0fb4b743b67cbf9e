"""MPI-Sintel in its official layout (Butler et al., ECCV 2012):
training/{clean,final,flow,occlusions,invalid}/SCENE/frame_NNNN.*
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image
from rich.console import Console
from rich.progress import track

from appliance.camera.pictures import SUFFIXES, is_picture, read_picture
from appliance.errors import Problem
from trainer.data.source import Pairs, Source

FLO_MAGIC = 202021.25


@dataclass(frozen=True)
class Pair:
    """Two frames of one size: uint8 (H, W, 3) each; flow (H, W, 2) in pixels from first to second; mask (H, W), true
    where the flow is valid.
    """

    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    mask: np.ndarray


def read_flo(path: Path) -> np.ndarray:
    """A .flo file (Middlebury format): float32 (H, W, 2), pixels. Raises Problem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Problem(f"flow {path}: {error.strerror}") from error
    width, height = np.frombuffer(data[4:12], "<i4") if len(data) >= 12 else (0, 0)
    if (
        len(data) < 12
        or np.frombuffer(data[:4], "<f4")[0] != FLO_MAGIC
        or len(data) != 12 + 8 * int(width) * int(height)
    ):
        raise Problem(f"flow {path}: not a complete .flo file")
    return np.frombuffer(data[12:], "<f4").reshape(height, width, 2)


def source(
    root: Path, size: tuple[int, int], passes: tuple[str, ...], held_out: tuple[str, ...], share: float
) -> Source:
    """Every pair of the training set except for the held-out scenes, at size (height, width). Raises Problem.

    Sintel's flow leads from a frame to the next one, so each pair is reversed: its later frame is the "previous" one.
    """
    wanted = [(name, scene, n) for name in passes for scene, n in pairs(root, name) if scene not in held_out]
    if not wanted:
        raise Problem(f"Sintel {root}: all scenes are held out ({', '.join(held_out)}); none is left to train on")
    with ThreadPoolExecutor() as pool:
        decoding = pool.map(lambda item: pair(root, item[1], item[2], size, item[0]), wanted)
        loaded = list(track(decoding, "decoding Sintel", len(wanted), console=Console(stderr=True)))
    store = {
        "frames": np.stack([np.stack([one.second, one.first]) for one in loaded]),
        "flow": np.stack([one.flow for one in loaded]).astype("float32"),
        "mask": np.stack([one.mask for one in loaded])[..., None],
    }

    def random_draws(rng, count):
        return {"pair": rng.integers(0, len(wanted), count, "int32"), "mirror": rng.uniform(size=count) < 0.5}

    return Source(share, store, random_draws, render)


def render(store, draws) -> Pairs:
    """The drawn pairs, half of them mirrored."""
    mirror = draws["mirror"][:, None, None, None]

    def show(array):
        array = ops.cast(ops.take(array, draws["pair"], axis=0), "float32")
        return ops.where(mirror, ops.flip(array, axis=2), array)

    previous, current = (show(store["frames"][:, i]) / 255.0 for i in (0, 1))
    motion = show(store["flow"])
    motion = motion * ops.where(mirror, ops.array([-1.0, 1.0]), ops.array([1.0, 1.0]))
    return Pairs(previous, current, motion, show(store["mask"]), ops.zeros_like(draws["mirror"], dtype="float32"))


def pairs(root: Path, rendering: str = "clean") -> list[tuple[str, int]]:
    """(scene, n) of every pair of frames n and n + 1 that has a flow, in order.

    Raises Problem when root is not Sintel, a scene has no flow, or a frame in the middle of a scene is missing.
    """
    top = Path(root) / "training"
    if not top.is_dir():
        raise Problem(f"Sintel {root}: no folder 'training' in it; unpack MPI-Sintel there")
    for kind in (rendering, "flow", "occlusions", "invalid"):
        if not (top / kind).is_dir():
            raise Problem(f"Sintel {top}: no folder '{kind}' in it; unpack that part of MPI-Sintel too")
    found = []
    for scene in sorted(path for path in (top / rendering).iterdir() if path.is_dir()):
        numbers = sorted(_number(path) for path in scene.iterdir() if is_picture(path))
        missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers else [1]
        if missing:
            raise Problem(f"Sintel {scene}: frame_{missing[0]:04d} is missing; unpack that scene again")
        flows = sorted(_number(path) for path in (top / "flow" / scene.name).glob("frame_*.flo"))
        if not flows:
            raise Problem(f"Sintel {top / 'flow' / scene.name}: no frame_NNNN.flo in it; unpack MPI-Sintel's flow")
        found += [(scene.name, n) for n in flows]
    if not found:
        raise Problem(f"Sintel {top / rendering}: no scenes in it; unpack MPI-Sintel there")
    return found


def paths(root: Path) -> list[Path]:
    """All of Sintel's frames, flows and masks, sorted."""
    found = sorted((root / "training").glob("*/*/frame_*"))
    return [path for path in found if path.suffix == ".flo" or is_picture(path)]


def _number(path: Path) -> int:
    try:
        return int(path.stem.removeprefix("frame_"))
    except ValueError as error:
        raise Problem(f"Sintel {path}: not named frame_NNNN; remove it") from error


def _read(folder: Path, n: int) -> tuple[Path, np.ndarray]:
    path = next(
        (p for p in folder.glob(f"frame_{n:04d}.*") if p.suffix.lower() in SUFFIXES), folder / f"frame_{n:04d}.png"
    )
    return path, read_picture(path)


def pair(root: Path, scene: str, frame: int, size: tuple[int, int], rendering: str = "clean") -> Pair:
    """Frames `frame` and `frame + 1` of a scene, scaled to size (height, width). Raises Problem."""
    top = Path(root) / "training"
    if not top.is_dir():
        raise Problem(f"Sintel {root}: no folder 'training' in it; unpack MPI-Sintel there")
    height, width = size
    name = f"frame_{frame:04d}.flo"
    flow = read_flo(top / "flow" / scene / name)
    shape = flow.shape[:2]

    def part(kind, n):
        path, picture = _read(top / kind / scene, n)
        if picture.shape[:2] != shape:
            raise Problem(
                f"Sintel {path}: {picture.shape[1]}x{picture.shape[0]}, but the flow {scene}/{name} is "
                f"{shape[1]}x{shape[0]}; take both from one release of Sintel"
            )
        return picture

    first, second = (
        np.asarray(Image.fromarray(part(rendering, n)).resize((width, height), Image.Resampling.BICUBIC))
        for n in (frame, frame + 1)
    )
    hidden = [part(kind, frame)[..., 0] > 127 for kind in ("occlusions", "invalid")]
    # A pixel is hidden if any of the pixels averaged into it is.
    share = np.asarray(Image.fromarray(np.float32(hidden[0] | hidden[1])).resize((width, height), Image.Resampling.BOX))
    scaled = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(flow[..., i])).resize((width, height), Image.Resampling.BILINEAR)
        )
        for i in (0, 1)
    ]
    scale = np.array([width / shape[1], height / shape[0]], "float32")
    return Pair(first, second, np.stack(scaled, axis=-1) * scale, share == 0)
