import io
import json
import zipfile
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.style import bundle

from . import fake_drm, fake_v4l2
from .edgetpu import built, bus, compiled, library  # noqa: F401
from .running import appliance  # noqa: F401
from .serving import web  # noqa: F401
from .switching import start, style, style_folder, tpu  # noqa: F401

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def tiny():
    """The small real style, 64x32, whose plan "split" is segment, x2, segment, x2, segment."""
    return bundle.read(DATA / "tiny.reconet")


@pytest.fixture(scope="session")
def tiny_yuv():
    """The same networks as tiny's, from YUV to BGRX."""
    return bundle.read(DATA / "tiny_yuv.reconet")


@pytest.fixture(scope="session")
def sized(tmp_path_factory, tiny_yuv):
    """The style tiny_yuv in format 2, which can be built for other sizes."""
    return bundle.write(tmp_path_factory.mktemp("sized") / "tiny.reconet", sized_fields(tiny_yuv), tiny_yuv.files)


@pytest.fixture(scope="session")
def tiny_uint8():
    """The same networks as tiny's, with uint8 at both ends."""
    return bundle.read(DATA / "tiny_uint8.reconet")


@pytest.fixture(scope="session")
def tiny_kept():
    """A style like tiny, in which the encoder keeps tensors for both decoders. Its whole network is beside it."""
    return bundle.read(DATA / "tiny_kept.reconet")


@pytest.fixture
def parts(tiny):
    """The manifest (as a dict, without "files") and the files of the small style, to be changed at will."""
    return manifest_fields(tiny), dict(tiny.files)


@pytest.fixture
def styles(tmp_path, tiny, monkeypatch):
    """A folder with the small style in it, where the appliance looks for styles."""
    folder = tmp_path / "styles"
    folder.mkdir()
    (folder / "tiny.reconet").write_bytes(tiny.path.read_bytes())
    monkeypatch.setenv("RECONET_STYLES", str(folder))
    return folder


@pytest.fixture
def reconet(styles, capfd):
    """Run the command in this process: (exit code, stdout, lines of stderr that are ours)."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        out, err = capfd.readouterr()
        return code, out, [line for line in err.splitlines() if not line.startswith(("INFO:", "WARNING:"))]

    return run


@pytest.fixture
def card(tmp_path, monkeypatch):
    with fake_drm.installed(tmp_path, monkeypatch) as fake:
        yield fake


@pytest.fixture
def scaling(card):
    """A card whose planes scale."""
    card.atomic = card.scales = True
    return card


@pytest.fixture
def display(card):
    with fake_drm.opened() as display:
        yield display


@pytest.fixture
def kernel(monkeypatch):
    with fake_v4l2.installed(monkeypatch) as kernel:
        yield kernel


def manifest_fields(tiny):
    fields = json.loads(tiny.manifest.model_dump_json(exclude_none=True))
    del fields["files"]
    return fields


def sized_fields(tiny):
    """The manifest of a style of format 1, in format 2."""
    return dict(manifest_fields(tiny), format=2, sizes={"stride": 4, "min": 16, "max": 2048})


def raw_members(path):
    """[(name, content)] of a bundle, manifest.json first."""
    with zipfile.ZipFile(str(path)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def zipped(members, compression=zipfile.ZIP_STORED):
    """The bytes of a zip of [(name, content)], whatever the names are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()
