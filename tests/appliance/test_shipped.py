"""The styles that ship: each opens, runs, meets its bounds, and looks like its painting."""

from pathlib import Path

import numpy as np
import pytest

from appliance.camera.virtual import VirtualCamera
from appliance.config import Engine
from appliance.engine.interpreter import runtimes
from appliance.engine.stylizer import Stylizer
from appliance.style import bundle

SLOW = runtimes()[0].name == "tflite_runtime"
WHY = "a frame takes 13 s on a PC under the board's runtime; tested under the other one"
SHIPPED = sorted((Path(__file__).parents[2] / "firmware_overlay/var/lib/reconet").glob("*.reconet"))


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda path: path.stem)
def style(request):
    return bundle.read(request.param)


@pytest.fixture(scope="module")
def stylizer(style):
    return Stylizer(style)


@pytest.fixture(scope="module")
def picture(style, request):
    """What the style makes of one frame of the virtual camera."""
    if SLOW and style.name != "starry_night":
        pytest.skip(WHY)
    return drawn(request.getfixturevalue("stylizer"))


def drawn(stylizer):
    return stylizer.draw(VirtualCamera(paced=False).picture(48))


# Against its teacher's losses, where it has one, and on MPI-Sintel.
BOUNDS = {
    "style_ratio": 1.5,
    "content_ratio": 1.15,
    "e_stab_alley_1": 0.24,
    "e_stab_cave_2": 0.40,
    "blob_share": 0.001,
    "fine_ratio": 1.2,
}


def test_eight_styles_ship():
    assert [path.stem for path in SHIPPED] == [
        "bayeux_tapestry",
        "composition_vii",
        "great_wave",
        "hakone",
        "starry_night",
        "the_kiss",
        "the_scream",
        "udnie",
    ]


def test_it_fills_a_monitor_and_stays_small(style):
    assert (style.manifest.input.width, style.manifest.input.height) == (640, 360)
    assert style.path.stat().st_size < 6e6


def test_the_figures_in_the_manifest_are_within_their_bounds(style):
    metrics = style.manifest.provenance["metrics"]
    assert not {name: metrics[name] for name, bound in BOUNDS.items() if metrics.get(name, 0) > bound}
    assert metrics["snr_db"] >= 26


def test_the_file_is_named_after_its_style_and_says_what_made_it(style):
    provenance = style.manifest.provenance
    assert style.path.stem == style.name == provenance["recipe"]["name"]
    assert len(provenance["painting_sha256"]) == 64 and provenance["steps"]["student"] > 0


def test_it_has_the_colours_of_its_painting(style, picture):
    pixels = picture.reshape(-1, 3).astype(float)
    luma = pixels @ [0.299, 0.587, 0.114]
    warmth = pixels[:, 0] - pixels[:, 2]  # red over blue
    yellow = pixels[:, :2].mean(1) - pixels[:, 2]
    middle, lights = (luma > 60) & (luma < 130), luma > 190
    spread = np.abs(pixels - luma[:, None]).mean()
    assert pixels.std(0).max() > 40  # no grey wash
    assert {
        "starry_night": yellow[middle].mean() < -20 < 0 < yellow[lights].mean(),  # blue with yellow lights
        "great_wave": warmth[middle].mean() < 0 < warmth[lights].mean(),  # ink on cream paper
        "the_scream": warmth[lights | middle].mean() > 40,  # an orange sky
        "composition_vii": spread > 20 and warmth.mean() > 10,
        "udnie": spread < 20,  # greys, and a little of everything
        "hakone": warmth[luma < 60].mean() < -15 < 15 < yellow[lights].mean(),  # indigo, on pale yellow paper
        "bayeux_tapestry": spread < 20 and warmth[lights].mean() > 15,  # linen
        "the_kiss": yellow[middle].mean() > 20 and yellow[lights].mean() > 40,  # gold
    }[style.name]


@pytest.mark.skipif(SLOW, reason=WHY)
def test_a_still_picture_stays_still(stylizer, picture):
    """No flicker: the same frame twice gives the same picture."""
    assert np.abs(picture.astype(int) - drawn(stylizer)).mean() < 1


@pytest.mark.skipif(SLOW, reason=WHY)
def test_it_is_steady_when_light_is_switched_and_nothing_moves(style):
    """A lamp, then a plain wall with noise; docs/steadiness.md has all scenes."""
    live = Stylizer(style, prefer="fused", stillness=Engine().stillness)
    rng, photo = np.random.RandomState(0), VirtualCamera(paced=False).picture(48)
    for light in (photo // 4, photo // 4):
        live.draw(light)
    lit = live.draw(photo)
    live.reset()
    assert np.abs(lit.astype(int) - live.draw(photo)).mean() < 8
    wall = np.full((*live.input_size[::-1], 3), (178, 174, 166))
    frames = [np.clip(np.rint(wall + 2 * rng.standard_normal(wall.shape)), 0, 255).astype(np.uint8) for _ in range(16)]
    live.reset()
    drawn = [live.draw(frame) for frame in frames]
    output, source = (np.abs(np.diff(np.array(film[11:], int), axis=0)).mean() for film in (drawn, frames))
    assert output < 1.5 * source
