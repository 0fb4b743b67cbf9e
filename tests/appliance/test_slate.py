import numpy as np
import pytest
from PIL import ImageFont

from appliance.display import slate as slate_module
from appliance.display.slate import BACKGROUND, TITLE, caption, slate

SIZES = [(1280, 720), (320, 180), (512, 216)]
SHORT = "cannot use the camera /dev/video0: it is not there: plug it in, or name another device"
LONG = (
    "starry_night was refused: decoder2.tflite does not match its digest (expected 9f86d081884c7d659a2feaa0c55ad015"
    "a3bf4f1b2b0b822cd15d6c15b0f00a08): copy the bundle again, or remove it from /var/lib/reconet. The style before"
    ", The Great Wave, keeps running until then, and nothing else has to be done."
)


@pytest.fixture(params=["fonts", "no fonts"])
def fonts(request, monkeypatch):
    """With the fonts of this machine, and with Pillow's own alone."""
    truetype = ImageFont.truetype

    def missing(font, *arguments, **settings):
        if isinstance(font, str):
            raise OSError("cannot open resource")
        return truetype(font, *arguments, **settings)

    slate_module._font.cache_clear()
    slate_module._strip.cache_clear()
    if request.param == "no fonts":
        monkeypatch.setattr(ImageFont, "truetype", missing)
    yield
    slate_module._font.cache_clear()
    slate_module._strip.cache_clear()


def ink(picture):
    """Where `picture` (BGRX) is not background: bool (H, W)."""
    return (picture[..., 2::-1] != BACKGROUND).any(axis=-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", [SHORT, LONG, "x" * 300], ids=["short", "long", "one word"])
def test_words_stay_away_from_the_edge(fonts, size, text):
    picture = slate(size, "Style refused", text)
    assert picture.shape == (size[1], size[0], 4) and picture.dtype == np.uint8 and picture.flags.writeable
    drawn = ink(picture)
    width, height = size[0] // 24, size[1] // 24
    assert drawn.any() and not drawn[:, :width].any() and not drawn[:, -width:].any()
    assert not drawn[:height].any() and not drawn[-height:].any()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_nothing_is_left_out(fonts, size, text):
    assert not np.array_equal(slate(size, "Refused", text), slate(size, "Refused", text[:-2] + "!"))


def test_a_title_can_be_read_across_the_room(fonts):
    for width, height in SIZES:
        rows = (slate((width, height), "No camera", SHORT)[..., :3] == TITLE).all(axis=-1).any(axis=1)
        assert rows.sum() >= height / 20


@pytest.mark.parametrize("size", [(1280, 720), (320, 180), (20, 10), (1, 1)])
@pytest.mark.parametrize("text", ["Ünïcode “quotes” 星月夜 🎨 …", "\udc80\x1b[31m\0", "", "   \n\n ", "two\nlines"])
def test_any_text_at_any_size(fonts, size, text):
    assert slate(size, text, text).shape == (size[1], size[0], 4)
    assert caption(np.zeros((size[1], size[0], 3), np.uint8), text).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_a_caption_is_a_strip_at_the_bottom_left(fonts, size, channels):
    frame = np.full((size[1], size[0], channels), 200, np.uint8)
    frame[..., 3:] = 7
    for text in ("The Starry Night", "Composition with red, yellow and blue " * 6):
        painted = caption(frame.copy(), text)
        changed = (painted != frame).any(axis=-1)
        assert not changed[: 2 * size[1] // 3].any() and (painted[..., 3:] == 7).all()
        assert painted[changed][:, :3].max() > 220 and painted[changed][:, :3].min() < 100
    assert not (caption(frame.copy(), "Udnie") != frame).any(axis=-1)[:, size[0] // 2 :].any()


def test_a_caption_is_painted_in_place_and_looks_the_same_in_both_formats():
    rgb = np.random.RandomState(0).randint(0, 256, (216, 512, 3)).astype(np.uint8)
    bgrx = np.concatenate([rgb[..., ::-1], rgb[..., :1]], axis=-1)
    assert caption(rgb, "The Starry Night") is rgb and caption(bgrx, "The Starry Night") is bgrx
    assert np.array_equal(bgrx[..., 2::-1], rgb)
