"""Sintel and plain video as sources of pairs, and the mixing of sources."""

import av
import numpy as np
import pytest
from PIL import Image

from appliance.errors import Problem
from trainer import flow
from trainer.data import sintel, source, video
from trainer.data.source import Pairs, Source

SIZE = (24, 40)


def write_flo(path, motion):
    header = np.array([202021.25], "<f4").tobytes() + np.array(motion.shape[1::-1], "<i4").tobytes()
    path.write_bytes(header + motion.astype("<f4").tobytes())


@pytest.fixture
def layout(tmp_path):
    """MPI-Sintel's layout with two scenes of three frames, 80x48: a smooth picture that moves 4 pixels right and 2 down
    a frame; the left quarter is occluded, the top rows are invalid.
    """
    top = tmp_path / "training"
    y, x = np.mgrid[:64, :100]
    scene = np.stack([np.sin(x / 9) + np.cos(y / 7), np.sin(y / 8), np.cos(x / 11)], -1)
    scene = ((scene + 2) * 60).astype("uint8")
    for name in ("alley_1", "market_2"):
        for kind in ("clean", "final", "flow", "occlusions", "invalid"):
            (top / kind / name).mkdir(parents=True)
        for n in (1, 2, 3):
            shown = scene[16 - 2 * n : 64 - 2 * n, 20 - 4 * n : 100 - 4 * n]
            Image.fromarray(shown).save(top / "clean" / name / f"frame_{n:04d}.png")
            Image.fromarray(shown // 2).save(top / "final" / name / f"frame_{n:04d}.png")
        occluded, invalid = np.zeros((2, 48, 80), "uint8")
        occluded[:, :20], invalid[:8] = 255, 255
        for n in (1, 2):
            write_flo(top / "flow" / name / f"frame_{n:04d}.flo", np.broadcast_to([4.0, 2.0], (48, 80, 2)))
            Image.fromarray(occluded).save(top / "occlusions" / name / f"frame_{n:04d}.png")
            Image.fromarray(invalid).save(top / "invalid" / name / f"frame_{n:04d}.png")
    return tmp_path


def test_sintel_flow_and_masks_scale_with_the_picture(layout):
    pair = sintel.pair(layout, "market_2", 1, SIZE)
    assert pair.first.shape == (*SIZE, 3)
    np.testing.assert_allclose(pair.flow, np.broadcast_to([2.0, 1.0], (*SIZE, 2)), atol=1e-5)
    assert not pair.mask[:, :10].any() and not pair.mask[:4].any() and pair.mask[4:, 10:].all()
    stretched = sintel.pair(layout, "market_2", 1, (48, 20))
    np.testing.assert_allclose(stretched.flow[0, 0], [1.0, 2.0], atol=1e-5)


def test_any_hidden_pixel_hides_the_one_that_it_is_averaged_into(layout):
    mask = np.zeros((48, 80), "uint8")
    mask[30, 50] = 255
    Image.fromarray(mask).save(layout / "training/occlusions/market_2/frame_0001.png")
    pair = sintel.pair(layout, "market_2", 1, SIZE)
    assert not pair.mask[15, 25] and pair.mask[16, 26]


def test_sintel_as_a_source_leaves_out_what_is_held_out_and_is_consistent(layout):
    pairs = sintel.source(layout, SIZE, ("clean", "final"), ("alley_1",), 1.0)
    assert pairs.store["frames"].shape == (4, 2, *SIZE, 3)  # two passes of one scene's two pairs
    draws = pairs.random_draws(np.random.default_rng(0), 16)
    assert draws["mirror"].any() and not draws["mirror"].all()
    shown = Pairs(*(np.asarray(a) for a in pairs.render(pairs.store, draws)))
    assert 0 <= shown.current.min() and shown.current.max() <= 1 and not shown.plain.any()
    places = shown.flow + np.asarray(flow.grid(*SIZE))
    mask = shown.mask * np.asarray(flow.inside(places, *SIZE))
    difference = np.abs(np.asarray(flow.warp(shown.previous, shown.flow)) - shown.current) * mask
    assert mask.mean() > 0.4 and difference.max() < 0.04
    assert np.abs(shown.previous - shown.current).max() > 0.1


@pytest.mark.parametrize(
    "harm, names",
    [
        (lambda top: (top / "training").rename(top / "test"), ["training"]),
        (lambda top: (top / "training/invalid").rename(top / "x"), ["invalid"]),
        (lambda top: (top / "training/clean/market_2/frame_0002.png").unlink(), ["market_2", "frame_0002"]),
        (lambda top: (top / "training/clean/market_2/frame_0003.png").unlink(), ["market_2", "frame_0003"]),
        (lambda top: (top / "training/occlusions/market_2/frame_0002.png").unlink(), ["occlusions", "frame_0002"]),
        (lambda top: (top / "training/flow/market_2").rename(top / "x"), ["flow", "market_2"]),
        (
            lambda top: write_flo(top / "training/flow/market_2/frame_0002.flo", np.zeros((24, 40, 2))),
            ["market_2", "frame_0002", "40x24", "80x48"],
        ),
        (
            lambda top: (top / "training/flow/market_2/frame_0001.flo").write_bytes(b"PIEH"),
            ["frame_0001.flo", "not a complete .flo"],
        ),
        (
            lambda top: Image.new("L", (40, 24)).save(top / "training/invalid/market_2/frame_0001.png"),
            ["invalid", "frame_0001", "40x24"],
        ),
        (
            lambda top: (top / "training/clean/market_2/frame_0001.png").write_bytes(b"none"),
            ["market_2", "frame_0001.png"],
        ),
        (
            lambda top: (top / "training/clean/market_2/frame_0003.png").rename(top / "training/clean/market_2/c.png"),
            ["c.png"],
        ),
    ],
)
def test_what_is_wrong_with_a_sintel_folder_is_named(layout, harm, names):
    harm(layout)
    with pytest.raises(Problem) as caught:
        sintel.source(layout, SIZE, ("clean",), ("alley_1",), 1.0)
    assert all(name in str(caught.value) for name in names), str(caught.value)


def test_nothing_left_but_what_is_held_out(layout):
    with pytest.raises(Problem, match="held out"):
        sintel.source(layout, SIZE, ("clean",), ("alley_1", "market_2"), 1.0)


@pytest.fixture
def videos(tmp_path):
    """A video of five grey frames and a folder of three pictures."""
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in (20, 40, 60, 80, 100):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, "uint8"), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    (tmp_path / "b").mkdir()
    for i, level in enumerate((150, 180, 210)):
        Image.new("L", (60, 40), level).save(tmp_path / "b" / f"{i}.png")
    return tmp_path


def test_video_pairs_are_neighbours_of_one_clip(videos):
    pairs = video.source(videos, SIZE, 300, 1.0)
    assert pairs.store["frames"].shape == (8, 30, 50, 3)
    shown = pairs.render(pairs.store, pairs.random_draws(np.random.default_rng(0), 64))
    before, now = (np.asarray(frames)[:, 5, 5, 0] * 255 for frames in shown[:2])
    assert shown.plain.min() == 1 and not np.any(shown.mask)
    seen = {(round(a / 10) * 10, round(b / 10) * 10) for a, b in zip(before, now)}
    assert seen == {(20, 40), (40, 60), (60, 80), (80, 100), (150, 180), (180, 210)}


def test_a_long_clip_is_cut(videos):
    assert [len(clip) for clip in video.clips(videos, SIZE, 2)] == [2, 2]


def test_bad_video_folders_are_named(videos, tmp_path_factory):
    with pytest.raises(Problem, match="no such folder"):
        video.clips(videos / "nowhere", SIZE, 9)
    with pytest.raises(Problem, match="no clips in it"):
        video.clips(tmp_path_factory.mktemp("empty"), SIZE, 9)
    with pytest.raises(Problem, match="only one frame"):
        video.clips(videos, SIZE, 1)
    (videos / "c.mp4").write_bytes(b"not a video")
    with pytest.raises(Problem, match="c.mp4"):
        video.clips(videos, SIZE, 9)


def constant(level, share):
    def render(store, draws):
        frame = store["level"] + np.zeros((len(draws["id"]), 2, 2, 3), "float32")
        return Pairs(frame, frame, frame[..., :2], frame[..., :1], draws["id"] * 0.0)

    draw = lambda rng, count: {"id": np.arange(count, dtype="float32")}  # noqa: E731
    return Source(share, {"level": np.float32(level)}, draw, render)


def test_sources_are_mixed_by_weight():
    mix = [constant(1.0, 3.0), constant(2.0, 1.0)]
    rng, stores, seen = np.random.default_rng(0), [one.store for one in mix], []
    for _ in range(200):
        pairs = source.render(mix, stores, source.random_draws(mix, rng, 2))
        seen.append(float(np.asarray(pairs.previous).mean()))
    assert set(seen) == {1.0, 2.0} and 0.65 < seen.count(1.0) / 200 < 0.85
