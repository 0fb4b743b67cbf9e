"""The sound of a film, as encoded packets. Needs PyAV."""

from typing import Any, Generator, Iterator, List, Optional

from ..files import FilePath
from .video import opened, reading

_EARLY = 0.2  # seconds of sound that decoders need before the first sample


class Sound:
    """All audio streams of the film at `path`: `streams`, PyAV's, empty for a silent film. Raises Problem.

    `shortened`: whether the stylised film may end before this one; the sound must then end with it.
    """

    def __init__(self, path: FilePath):
        self.shortened = False
        self._path = path
        self._container = opened(path)
        self.streams: List[Any] = list(self._container.streams.audio)
        self._packets: Iterator[Any] = self._container.demux(self.streams) if self.streams else iter(())
        self._next: Any = None

    def packets(self, start: float, end: Optional[float] = None) -> Generator[Any, None, None]:
        """PyAV's packets that begin before `end`, in seconds of the film; None for all. A second call continues from
        there. Packets that end before `start`, the time of the film's first frame, are skipped. `start` is subtracted
        from the times of the others."""
        with reading(self._path):
            while True:
                packet = self._next = self._next or next(self._packets, None)
                if packet is None or end is not None and _begin(packet) >= end:
                    return
                self._next = None
                if packet.dts is None or packet.pts is None:  # the end of a stream
                    continue
                if _begin(packet) + float((packet.duration or 0) * packet.time_base) <= start - _EARLY:
                    continue
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                yield packet

    def close(self) -> None:
        self._container.close()


def _begin(packet: Any) -> float:
    return float(packet.pts * packet.time_base) if packet.pts is not None else 0.0
