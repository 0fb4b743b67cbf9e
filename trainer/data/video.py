"""Pairs of frames from plain video, whose flow is unknown: for the frame-difference loss."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from keras import ops
from rich.console import Console
from rich.progress import track

from appliance.camera.pictures import PictureCamera
from appliance.camera.video import VideoCamera
from appliance.errors import Problem
from appliance.frames import cover
from trainer.data import augment, pictures
from trainer.data.source import Pairs, Source
from trainer.faults import Collector
from trainer.flow import grid, sample

SUFFIXES = (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")


def source(folder: Path, size: tuple[int, int], longest: int, share: float) -> Source:
    """Consecutive frames of every clip in folder, cropped the same in both frames. Raises Problem.

    Frames are stored at 5/4 of size (height, width), to leave room for random crops.
    """
    loaded = clips(folder, (size[0] * 5 // 4, size[1] * 5 // 4), longest)
    frames = np.concatenate(loaded)
    ends = np.cumsum([len(clip) for clip in loaded])
    starts = np.setdiff1d(np.arange(len(frames)), ends - 1).astype("int32")

    def random_draws(rng, count):
        view = augment.views(rng, count, frames.shape[1:3], size)[:, :2].astype("float32")
        return {"frame": rng.choice(starts, count), "view": view}

    return Source(share, {"frames": frames}, random_draws, lambda store, draws: render(store["frames"], draws, size))


def render(frames, draws, size: tuple[int, int]) -> Pairs:
    """The drawn pairs from frames, uint8 (N, H, W, 3); their mask and their flow are 0."""
    points = augment.project(draws["view"], grid(*size))

    def show(index):
        return sample(ops.cast(ops.take(frames, index, axis=0), "float32") / 255.0, points)

    previous, current = show(draws["frame"]), show(draws["frame"] + 1)
    return Pairs(previous, current, 0 * points, 0 * points[..., :1], ops.ones_like(draws["frame"], dtype="float32"))


def clips(folder: Path, size: tuple[int, int], longest: int) -> list[np.ndarray]:
    """The clips of a folder, sorted by name: uint8 (N, *size, 3) each, the first `longest` frames at most.

    A clip is a video file or a folder of numbered pictures. Other files are skipped and listed on stderr. Raises
    Problem when there are no clips, and Faults, with one line for each that is unreadable or has only one frame.
    """
    if not folder.is_dir():
        raise Problem(f"videos {folder}: no such folder; put clips there, set data.videos or set mix.video to 0")
    found, foreign = paths(folder)
    pictures.report_skipped(folder, foreign)
    if not found:
        raise Problem(f"videos {folder}: no clips in it; put video files there, or folders of numbered pictures")
    faults = Collector()

    def one(path):
        with faults:
            return clip(path, size, longest)

    with ThreadPoolExecutor() as pool:
        decoding = pool.map(one, found)
        decoded = list(track(decoding, "decoding video ", len(found), console=Console(stderr=True)))
    faults.check()
    return decoded


def paths(folder: Path) -> tuple[list[Path], list[Path]]:
    """(the clips of a folder, its other files), each sorted by name, without hidden ones."""
    found = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    clips = [path for path in found if path.is_dir() or path.suffix.lower() in SUFFIXES]
    return clips, [path for path in found if path not in clips]


def files(folder: Path) -> list[Path]:
    """All files of the folder's clips, in order."""
    found = [sorted(pictures.paths(path)[0]) if path.is_dir() else [path] for path in paths(folder)[0]]
    return [path for clip in found for path in clip]


def clip(path: Path, size: tuple[int, int], longest: int) -> np.ndarray:
    """The first frames of a video file or a folder of numbered pictures: uint8 (N, *size, 3). Raises Problem."""
    camera = PictureCamera(path) if path.is_dir() else VideoCamera(path)
    height, width = size
    taken = islice(camera.frames(threading.Event()), longest)
    frames = [cover(frame.pixels, (width, height)) for frame in taken]
    if len(frames) < 2:
        raise Problem(f"video {path}: only one frame; a clip needs two")
    return np.stack(frames)
