"""Films that tests make themselves: of any kind that people have, in a second."""

import struct

import numpy as np
import pytest

_UNITY = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)  # a display matrix that changes nothing


def import_av():
    return pytest.importorskip("av", reason="PyAV is not installed")


def corners(size):
    """uint8 RGB (H, W, 3): a white, a red, a green and a blue quarter, from the top left row by row."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 255
    pixels[: height // 2, width // 2 :, 0] = 255
    pixels[height // 2 :, : width // 2, 1] = 255
    pixels[height // 2 :, width // 2 :, 2] = 255
    return pixels


def write(path, pictures, rate=30, sound=None, seconds=None, codec="libx264", pix_fmt="yuv420p", colours=None):
    """A film of uint8 RGB `pictures` at `rate`, with `seconds` of `sound` (a codec) that beeps at each whole second."""
    av = import_av()
    container = av.open(str(path), "w")
    stream = container.add_stream(codec, rate=rate)
    height, width = pictures[0].shape[:2]
    stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
    for name, value in (colours or {}).items():
        setattr(stream.codec_context, name, value)
    track = None
    if sound:
        track = container.add_stream(sound, rate=48000)
        track.layout = "stereo"
    for number, pixels in enumerate(pictures):
        frame = pixels
        if isinstance(pixels, np.ndarray):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = number
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if track:
        count = int(48000 * (seconds or len(pictures) / rate))
        at = np.arange(count) / 48000
        wave = np.float32(np.where(at % 1 < 0.1, np.sin(2 * np.pi * 880 * at), 0) * 0.8)
        step = 1024 if track.codec_context.frame_size in (0, 1024) else track.codec_context.frame_size
        for first in range(0, count, step):
            part = np.stack([wave[first : first + step]] * 2)
            heard = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout="stereo")
            heard.sample_rate, heard.pts = 48000, first
            container.mux(track.encode(heard))
        container.mux(track.encode(None))
    container.close()
    return str(path)


def with_matrix(path, a, b, c, d):
    """Write a display matrix into the header of an .mp4, over the one that changes nothing."""
    data = path.read_bytes()
    track = data.index(b"tkhd")
    at = data.index(_UNITY, track)
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    return str(path)


def duration(path):
    """Seconds of the video stream."""
    with import_av().open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.duration * stream.time_base)


def pictures(path):
    """[(seconds, uint8 RGB)] of the video stream."""
    with import_av().open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def heard(path, track=0):
    """(sample rate, float mono samples from time 0 on) of an audio stream; None where there is none."""
    with import_av().open(str(path)) as container:
        if len(container.streams.audio) <= track:
            return None
        frames = [(frame.time, frame) for frame in container.decode(audio=track)]
    rate = frames[0][1].sample_rate
    whole = np.zeros(int((frames[-1][0] + 2) * rate))
    for time, frame in frames:
        samples = frame.to_ndarray()
        samples = samples.mean(0) if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels)).mean(1)
        first = round(time * rate)
        if first < 0:
            samples, first = samples[-first:], 0
        whole[first : first + len(samples)] = samples
    return rate, whole


def packets(path):
    """The encoded sound: the bytes of each packet of the first audio stream."""
    with import_av().open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
