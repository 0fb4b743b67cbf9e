"""An output: one connector of a card in one mode, on which pictures are shown by page flips."""

import contextlib
import errno
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..frames import Frame, Size
from ..memory import Memory
from .buffer import Buffer
from .drm import OVERLAY, PRIMARY, Card, Connector, Plane
from .enlarge import Enlarger
from .libdrm import Crtc, Mode
from .placing import UPRIGHT, Place, Placing, Showing, centred, enlargement, reduced

PATIENCE = 1.0  # seconds that a flip may take
_REFUSED = (errno.EINVAL, errno.ERANGE, errno.ENOSPC, errno.EOPNOTSUPP)


class Layout(NamedTuple):
    """How pictures of `size` get to their `place` on the screen.

    They are written into the first of the two buffers of `pair` and scaled by `plane`. An overlay plane lies on the
    buffer `black`. Without a plane the buffers are as large as the screen, and the CPU enlarges pictures with
    `enlarger`, or averages them down where that is None.
    """

    size: Size
    placing: Placing
    place: Place
    pair: List[Buffer]
    plane: Optional[Plane] = None
    black: Optional[Buffer] = None
    enlarger: Optional[Enlarger] = None

    @property
    def direct(self) -> bool:
        """Whether pictures lie in the buffers as they are, byte for byte."""
        pixels = self.pair[0].pixels
        return self.placing.unchanged and pixels.shape == self.size[::-1] and pixels.flags.c_contiguous

    def render(self, frame: Frame, memory: Memory) -> None:
        """Write `frame`, in BGRX, into the buffer that is shown next: where that is possible, draw it there."""
        pixels, place = self.pair[0].pixels, self.place
        if frame.draw and self.direct:
            frame.draw(pixels.view(np.uint8).reshape(frame.pixels.shape))
            self.pair[0].finish()
            return
        picture = np.ascontiguousarray(frame.whole(memory.array).pixels).view(np.uint32)[..., 0]
        picture = self.placing.prepared(picture)
        out = pixels[place.top : place.top + place.height, place.left : place.left + place.width]
        if self.plane:
            pixels[:] = picture
        elif self.enlarger:
            self.enlarger(picture, out)
        else:
            out[:] = reduced(picture, (place.width, place.height))
        self.pair[0].finish()

    @property
    def scaling(self) -> str:
        """How pictures are scaled, in words."""
        if self.plane:
            return f"scaled by plane {self.plane.id}"
        if self.enlarger:
            return f"enlarged {float(self.enlarger.zoom):.3g}x"
        return "reduced from {}x{} to {}x{}".format(*self.size, self.place.width, self.place.height)


class Output:
    """`connector` of `card`, driven with `mode`. `showing` says how pictures fill the screen.

    Where the card has atomic commits and a plane that scales, the plane scales the picture; otherwise the CPU does.
    There are two dumb buffers. A picture is written into the one that is not scanned out, and a page flip shows it from
    the next refresh on. Nothing is written until the kernel reports the flip, so nothing tears. (drmModeSetPlane scales
    on older cards too, but does not report when it took effect.)

    Every method may raise OSError; after that only `close` may be called.
    """

    def __init__(self, card: Card, connector: Connector, mode: Mode, showing: Showing = UPRIGHT):
        self.card, self.connector, self.mode, self.showing = card, connector, mode, showing
        self._crtc = connector.crtcs[0]
        self._saved: Optional[Crtc] = None
        self._memory = Memory()  # for frames that are drawn elsewhere first
        self._buffers: List[Buffer] = []
        self._planes: List[Plane] = []
        self._primary: Optional[Plane] = None
        try:
            self._saved = card.crtc(self._crtc)
            self._layout = self._light()
            self._planes = card.planes(self._crtc)
            self._primary = next(
                (plane for plane in self._planes if plane.kind == PRIMARY and plane.crtc == self._crtc), None
            )
        except BaseException:
            self.close()
            raise

    @property
    def scaling(self) -> str:
        """How pictures are scaled to the screen, in words. May be read from any thread."""
        turned = f", turned {self.showing.rotate} degrees" if self.showing.rotate else ""
        return self._layout.scaling + turned

    @property
    def size(self) -> Size:
        """(width, height) of the screen as the viewer sees it, in pixels."""
        return self.showing.upright(self.mode.size)

    def show(self, frame: Frame) -> float:
        """Show `frame`, in BGRX. It may be yet to be drawn.

        Returns when the flip took place, on the clock of time.monotonic. Raises TimeoutError after `PATIENCE` seconds.
        """
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        layout = self._layout if self._layout.size == size else self._arrange(size)
        layout.render(frame, self._memory)
        try:
            ticket = self._flip(layout)
        except OSError as error:
            if not self._primary or error.errno not in _REFUSED:
                raise
            # The commit passed its test and is refused all the same: from here on without planes.
            self._planes, self._primary = [], None
            self._keep(self._light())
            return self.show(frame)
        when = self.card.wait(ticket, PATIENCE)
        layout.pair.reverse()
        if layout is not self._layout:
            self._keep(layout)
        return when

    def close(self, restore: bool = True) -> None:
        """Restore what was shown before, or switch off if not `restore`, and close the card."""
        if self._saved and not (restore and self._restore(self._saved)):
            with contextlib.suppress(OSError):  # the card is gone, or another program's now
                self.card.set_crtc(self._crtc, 0, self.connector.id, None)
        self._free(list(self._buffers))
        self.card.close()

    def _restore(self, saved: Crtc) -> bool:
        if not (saved.mode_valid and saved.buffer_id):
            return False
        try:
            self.card.set_crtc(self._crtc, saved.buffer_id, self.connector.id, saved.mode, (saved.x, saved.y))
        except OSError:  # its owner has removed that framebuffer
            return False
        return True

    def _light(self) -> Layout:
        """Set the mode, with a black screen."""
        layout = self._by_cpu(self.size)
        self.card.set_crtc(self._crtc, layout.pair[1].id, self.connector.id, self.mode)
        return layout

    def _arrange(self, size: Size) -> Layout:
        """How to show pictures of `size`: with the first plane that passes a test commit, else by the CPU."""
        placing = Placing(size, self.mode.size, self.showing)
        if placing.size != self.mode.size and self._primary:
            overlays = [plane for plane in self._planes if plane.kind == OVERLAY and above(plane, self._primary)]
            pair = [self._buffer(placing.size), self._buffer(placing.size)]
            black = self._buffer(self.mode.size)
            for plane in overlays + [self._primary]:
                layout = Layout(size, placing, placing.place, pair, plane, black)
                try:
                    self.card.commit(self._state(layout, self._primary), test=True)
                    return layout
                except OSError as error:
                    if error.errno not in _REFUSED:
                        raise
            self._free(pair + [black])
        return self._by_cpu(size)

    def _by_cpu(self, size: Size) -> Layout:
        screen = self.mode.size
        placing, pair = Placing(size, screen, self.showing), [self._buffer(screen), self._buffer(screen)]
        zoom = enlargement(placing.size, screen, self.showing.cover)
        if zoom < 1:
            return Layout(size, placing, placing.place, pair)
        enlarger = Enlarger(placing.size, zoom, screen)
        return Layout(size, placing, centred(enlarger.out_size, screen), pair, enlarger=enlarger)

    def _flip(self, layout: Layout) -> int:
        if not self._primary:
            return self.card.page_flip(self._crtc, layout.pair[0].id)
        if layout is not self._layout:
            return self.card.commit(self._state(layout, self._primary))
        return self.card.commit(values(layout.plane or self._primary, FB_ID=layout.pair[0].id))

    def _state(self, layout: Layout, primary: Plane) -> Dict[Tuple[int, int], int]:
        """The properties that show `layout`."""
        shown = layout.plane or primary
        place = layout.place if layout.plane else Place(0, 0, *self.mode.size)
        state = self._on(shown, layout.pair[0], layout.placing.size if layout.plane else self.mode.size, place)
        if layout.black and shown is not primary:
            state.update(self._on(primary, layout.black, self.mode.size, Place(0, 0, *self.mode.size)))
        before = self._layout.plane
        if before and before not in (shown, primary):
            state.update(values(before, FB_ID=0, CRTC_ID=0))
        return state

    def _on(self, plane: Plane, buffer: Buffer, size: Size, place: Place) -> Dict[Tuple[int, int], int]:
        return values(
            plane,
            FB_ID=buffer.id,
            CRTC_ID=self._crtc,
            SRC_X=0,
            SRC_Y=0,
            SRC_W=size[0] << 16,
            SRC_H=size[1] << 16,
            CRTC_X=place.left,
            CRTC_Y=place.top,
            CRTC_W=place.width,
            CRTC_H=place.height,
        )

    def _buffer(self, size: Size) -> Buffer:
        self._buffers.append(Buffer(self.card, size))
        return self._buffers[-1]

    def _keep(self, layout: Layout) -> None:
        """`layout` is scanned out: free all other buffers."""
        self._layout = layout
        self._free([buffer for buffer in self._buffers if buffer not in layout.pair and buffer is not layout.black])

    def _free(self, buffers: List[Buffer]) -> None:
        for buffer in buffers:
            self._buffers.remove(buffer)
            buffer.close()


def values(plane: Plane, **wanted: int) -> Dict[Tuple[int, int], int]:
    """What `Card.commit` takes to give properties of `plane` these values."""
    return {(plane.id, plane.properties[name][0]): value for name, value in wanted.items()}


def above(plane: Plane, other: Plane) -> bool:
    """Whether `plane` lies above `other`, by their zpos; where the card has none, an overlay does."""
    unknown = (0, None)
    mine, its = plane.properties.get("zpos", unknown)[1], other.properties.get("zpos", unknown)[1]
    return mine is None or its is None or mine > its
