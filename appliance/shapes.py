"""Films and photographs in their own shape: the size of network for each, and the Stylizers for those sizes.

A network's strokes have a fixed size in pixels. In a larger picture they are finer, until they are a texture and no
painting; and a frame takes longer in proportion to its pixels. So by default a picture has up to MOST times the pixels
that the style is stored for: strokes are then 0.8 times the size that they were trained for, a frame takes 1.5 times as
long, and a film needs about 250 MB of memory. It never has more pixels than the film. --size asks for more.
"""

import math
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Tuple

from .engine.interpreter import runtimes
from .engine.stylizer import Stylizer
from .frames import Frame, Size
from .style.bundle import Bundle
from .style.manifest import Sizes, size_name

MOST = 1.5
_CUT = 10  # times: so much more a hundredth of the view counts than a hundredth of the pixels
_WHOLE = 0.98  # of the view: what is cut beyond that is said
_KEPT = 4  # Stylizers, each with its networks' memory


class Shapes:
    """The Stylizer for each frame, by its shape. Made when first asked for; the latest are kept.

    `size`: the largest picture to make; with `crop` the very size, of which the middle of every frame is taken (None:
    the style's own). `one_size`: whether all frames get the size of the first. `warn` gets one line when a part of a
    picture is cut off that nobody asked to, once. `options` are the Stylizer's; without a plan to prefer, see _thrifty.
    Raises Problem.
    """

    def __init__(
        self,
        bundle: Bundle,
        size: Optional[Size] = None,
        crop: bool = False,
        one_size: bool = False,
        warn: Callable[[str], None] = lambda text: None,
        **options: Any,
    ):
        self._bundle, self._size, self._crop, self._one_size = bundle.resizable(), size, crop, one_size
        self._warn, self._options = warn, dict(options, prefer=options.get("prefer") or _thrifty())
        self._made: "OrderedDict[Optional[Size], Stylizer]" = OrderedDict()
        self._chosen: Dict[Size, Size] = {}
        self.latest: Optional[Stylizer] = None
        if size is not None:
            self._size = wanted(self._bundle, size, crop)

    def __call__(self, frame: Frame) -> Stylizer:
        """The one for `frame`."""
        size = frame.made_for or self.network((frame.pixels.shape[1], frame.pixels.shape[0]))
        if size not in self._made:
            self._made[size] = Stylizer(self._bundle, size=size, **self._options)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(size)
        self.latest = self._made[size]
        return self.latest

    def network(self, film: Size) -> Size:
        """The size of network for frames of the size `film`."""
        if film not in self._chosen:
            first = next(iter(self._chosen.values()), None) if self._one_size else None
            self._chosen[film] = first or self._choice(film)
            self._say(film, self._chosen[film])
        return self._chosen[film]

    def _choice(self, film: Size) -> Size:
        manifest = self._bundle.manifest
        stored = compiled(self._bundle, self._options.get("plan"))
        if stored and not self._size:
            return min(stored, key=lambda size: (round(cut(film, size), 2), -_pixels(size)))
        if self._crop or manifest.sizes is None:
            return self._size or manifest.size
        if self._size:
            return fitting(film, manifest.sizes, self._size, _pixels(self._size))
        within, least = film, manifest.sizes.min
        if min(film) < least:  # smaller than any network
            stride, scale = manifest.sizes.stride, least / min(film)
            within = math.ceil(scale * film[0] / stride) * stride, math.ceil(scale * film[1] / stride) * stride
        return fitting(film, manifest.sizes, within, min(int(MOST * _pixels(manifest.size)), _pixels(within)))

    def _say(self, film: Size, network: Size) -> None:
        lost = cut(film, network)
        if lost <= 1 - _WHOLE or self._crop:
            return
        other = self._one_size and len(self._chosen) > 1
        why = "a film has the shape of its first picture" if other else f"style {self._bundle.name} has no such shape"
        self._warn(
            f"{100 * lost:.0f} % of a picture of {size_name(film)} is cut off to make {size_name(network)}: {why}"
        )
        self._warn = lambda text: None


def wanted(bundle: Bundle, size: Size, crop: bool) -> Size:
    """The size to which --size leads: with `crop` the very size, else the largest that is no larger. Raises Problem."""
    if not crop:
        return bundle.within(size)
    bundle.check_size(size)
    return size


def _thrifty() -> Optional[str]:
    """The plan that takes the least time and memory where none was measured; None where that is unknown.

    On a CPU one segment spares what is handed over between several, unless its runtime unrolls convolutions.
    """
    best = runtimes()[0]
    return "fused" if best.device == "CPU" and not best.unrolls else None


def compiled(bundle: Bundle, plan: Optional[str]) -> List[Size]:
    """The sizes that run on the Edge TPU that is here; none without one."""
    if runtimes()[0].device != "TPU":
        return []
    plans = [one for one in bundle.manifest.plans if plan in (None, one.name)]
    return sorted({size for one in plans for size in bundle.manifest.compiled(one)})


def cut(film: Size, network: Size) -> float:
    """The share of a frame of the size `film` that is not in the middle of the shape of `network`."""
    wide = film[0] * network[1] / (film[1] * network[0])
    return 1 - min(wide, 1 / wide)


def _pixels(size: Size) -> int:
    return size[0] * size[1]


def fitting(film: Size, sizes: Sizes, within: Size, most: int) -> Size:
    """The size that suits `film` best: of its shape, as large as can be, no larger than `within`, and of no more than
    `most` pixels, as far as `sizes` has such."""
    stride, (low, high) = sizes.stride, (-(-sizes.min // sizes.stride) * sizes.stride, sizes.max)
    found: List[Tuple[float, Size]] = []
    limits = [min(high, max(low, side)) for side in within]
    for width in range(low, limits[0] + 1, stride):
        ideal = width * film[1] / film[0] / stride
        for height in {int(ideal) * stride, int(ideal + 1) * stride}:
            size = width, max(low, min(height, limits[1] // stride * stride))
            pixels = _pixels(size)
            merit = min(pixels / most, most / pixels) - _CUT * cut(film, size) - (pixels > most)
            found.append((merit, size))
    return max(found)[1]
