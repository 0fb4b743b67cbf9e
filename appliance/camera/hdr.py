"""Tone mapping of high dynamic range (HDR10 and HLG) to BT.709, which all other modules expect.

The white of the SDR screen is HDR's reference white, 203 cd/m2 (ITU-R BT.2408). Light below the knee is unchanged.
Above it, the EETF of ITU-R BT.2390 rolls the light off, by the brightest of the three primaries.
"""

import struct
from functools import lru_cache
from typing import Any, Optional

import numpy as np

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273: SMPTE ST 2084, ARIB STD-B67
WHITE = 203.0  # cd/m2
_PEAK = 1000.0  # cd/m2, of a film that does not state it, and of HLG's nominal display
_GAMMA = 1 / 2.4  # the inverse of ITU-R BT.1886
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
# From BT.2020's primaries to those of BT.709, in linear light (ITU-R BT.2087, inverted).
_PRIMARIES = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
_SHIFT = 4  # codes of 16 bits are looked up by their upper 12
_STEPS = 4096
_LEVELS = 65536  # of linear light: fewer would band in the shadows
_ROWS = 64


def pq_to_light(code: np.ndarray) -> np.ndarray:
    """cd/m2 of PQ codes from 0 to 1 (SMPTE ST 2084)."""
    power = np.power(code, 1 / 78.84375)
    return np.asarray(
        10000 * np.power(np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power), 1 / 0.1593017578125)
    )


def light_to_pq(light: np.ndarray) -> np.ndarray:
    """PQ codes from 0 to 1 of cd/m2."""
    power = np.power(np.asarray(light) / 10000, 0.1593017578125)
    return np.asarray(np.power((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 78.84375))


def hlg_to_scene(code: np.ndarray) -> np.ndarray:
    """Scene light from 0 to 1 of HLG codes from 0 to 1 (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.asarray(np.where(code <= 0.5, np.square(code) / 3, (np.exp((code - c) / a) + b) / 12))


def rolled_off(light: np.ndarray, peak: float) -> np.ndarray:
    """Light up to `peak` compressed to WHITE, both in cd/m2: the EETF of ITU-R BT.2390 without its black lift."""
    if peak <= WHITE:
        return np.asarray(np.minimum(light, WHITE))
    most = light_to_pq(np.float64(peak))
    white = light_to_pq(np.float64(WHITE)) / most
    code, knee = np.minimum(light_to_pq(light) / most, 1), 1.5 * white - 0.5
    t = np.maximum(code - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return pq_to_light(np.asarray(np.where(code < knee, code, bent) * most))


class ToneMap:
    """Converts pictures with the transfer `transfer`, PQ or HLG, and the peak `peak`, in cd/m2, to BT.709."""

    def __init__(self, transfer: int, peak: float):
        codes = np.arange(_STEPS) / (_STEPS - 1)
        self._hlg = transfer == HLG
        self._linear = np.float32(hlg_to_scene(codes) if self._hlg else pq_to_light(codes) / WHITE)
        # The gain of all three primaries, by the PQ code of the brightest.
        light = pq_to_light(codes)
        self._gain = np.float32(rolled_off(light, peak) / np.maximum(light, 1e-6))
        self._gain[0] = self._gain[1]
        self._encode = np.uint8(np.rint(255 * (np.arange(_LEVELS) / (_LEVELS - 1)) ** _GAMMA))

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """uint8 BT.709 RGB (H, W, 3) from uint16 BT.2020 RGB (H, W, 3), full range."""
        out = np.empty(codes.shape, np.uint8)
        for row in range(0, len(codes), _ROWS):
            self._map(codes[row : row + _ROWS] >> _SHIFT, out[row : row + _ROWS])
        return out

    def _map(self, codes: np.ndarray, out: np.ndarray) -> None:
        light = self._linear[codes]
        if self._hlg:  # the OOTF, with the gamma of a display of 1,000 cd/m2
            light *= (_PEAK / WHITE) * np.power(light @ _LUMA, np.float32(0.2))[..., None]
            brightest = np.uint16((_STEPS - 1) * light_to_pq(np.minimum(light.max(2) * WHITE, 10000)))
        else:
            brightest = codes.max(2)
        light *= self._gain[brightest][..., None]
        light = np.clip(light @ _PRIMARIES.T, 0, 1)
        light *= _LEVELS - 1
        out[:] = self._encode[np.uint16(light + 0.5)]


def tone_map(picture: Any) -> Optional[ToneMap]:
    """The tone map for a frame decoded by PyAV; None when the frame is not HDR."""
    transfer = getattr(picture, "color_trc", None)
    if transfer not in (PQ, HLG):
        return None
    return _cached(int(transfer), _PEAK if transfer == HLG else _peak(picture.side_data))


def _peak(side_data: Any) -> float:
    """The brightest light in cd/m2: MaxCLL (CTA-861), else that of the display it was mastered on (SMPTE ST 2086)."""
    level, mastering = side_data.get("CONTENT_LIGHT_LEVEL"), side_data.get("MASTERING_DISPLAY_METADATA")
    peak = 0.0
    if level is not None:
        peak = float(struct.unpack_from("<I", bytes(level))[0])
    if not peak and mastering is not None:
        above, below = struct.unpack_from("<2i", bytes(mastering), 72)  # after four points and the minimum luminance
        peak = above / below if below > 0 else 0.0
    return min(max(peak, WHITE), 10000.0) if peak > 0 else _PEAK


@lru_cache(maxsize=4)
def _cached(transfer: int, peak: float) -> ToneMap:
    return ToneMap(transfer, peak)
