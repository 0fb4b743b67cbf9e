"""MPI-Sintel in its official layout (Butler et al., ECCV 2012):
training/{clean,final,flow,occlusions,invalid}/SCENE/frame_NNNN.*
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from appliance.camera.pictures import read_picture
from appliance.errors import Problem

FLO_MAGIC = 202021.25


@dataclass(frozen=True)
class Pair:
    """Two frames at one size: uint8 (H, W, 3) each, flow (H, W, 2) in pixels from first to second, mask (H, W) true
    where it holds.
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
        raise Problem(f"flow {path}: not a whole .flo file")
    return np.frombuffer(data[12:], "<f4").reshape(height, width, 2)


def pair(root: Path, scene: str, frame: int, size: tuple[int, int], rendering: str = "clean") -> Pair:
    """Frames `frame` and `frame + 1` of a scene, scaled to size (height, width). Raises Problem, naming the fault."""
    top = root / "training"
    if not top.is_dir():
        raise Problem(f"Sintel {root}: no folder 'training' in it; unpack MPI-Sintel there")
    height, width = size
    pictures = [
        Image.fromarray(read_picture(top / rendering / scene / f"frame_{n:04d}.png")) for n in (frame, frame + 1)
    ]
    flow = read_flo(top / "flow" / scene / f"frame_{frame:04d}.flo")
    if flow.shape[:2] != pictures[0].size[::-1]:
        raise Problem(
            f"flow of {scene} frame {frame}: {flow.shape[1]}x{flow.shape[0]}, "
            f"but the frame is {pictures[0].width}x{pictures[0].height}; take both from one release of Sintel"
        )
    hidden = [read_picture(top / kind / scene / f"frame_{frame:04d}.png")[..., 0] for kind in ("occlusions", "invalid")]
    share = [np.asarray(Image.fromarray(np.float32(mask > 127)).resize((width, height), Image.BOX)) for mask in hidden]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], "float32")
    scaled = [
        np.asarray(Image.fromarray(np.ascontiguousarray(flow[..., i])).resize((width, height), Image.BILINEAR))
        for i in (0, 1)
    ]
    first, second = (np.asarray(picture.resize((width, height), Image.BICUBIC)) for picture in pictures)
    return Pair(first, second, np.stack(scaled, axis=-1) * scale, (share[0] == 0) & (share[1] == 0))
