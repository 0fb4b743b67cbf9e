import sys

import pytest

from appliance import config
from appliance.errors import Problem


def load(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.load(path)


def refusal(tmp_path, text):
    """The one line with which `text` is refused, without the file's name."""
    with pytest.raises(Problem) as caught:
        load(tmp_path, text)
    line = str(caught.value)
    assert str(tmp_path / "config.toml") in line and line.isprintable() and len(line) < 600
    return line.replace(f"{tmp_path / 'config.toml'}: ", "")


def test_without_a_file_the_defaults_are_those_of_the_board(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "PATH", tmp_path / "config.toml")
    settings = config.load(tmp_path / "config.toml")
    camera = {"device": "auto", "width": 0, "height": 0, "fps": 30, "mirror": False, "format": "auto"}
    assert settings.camera.model_dump() == camera
    display = {"connector": "auto", "mode": "preferred", "rotate": 0, "fit": "contain"}
    assert settings.display.model_dump() == display
    assert settings.style.model_dump() == {
        "name": "newest",
        "folder": "/var/lib/reconet",
        "every": "off",
        "order": "name",
        "fade": 1.0,
        "quiet": "off",
    }
    assert settings.engine.model_dump() == {
        "plan": "auto",
        "size": "auto",
        "target_fps": 0,
        "runtime": "auto",
        "device": "auto",
        "threads": 0,
        "tpu_missing": "cpu",
        "stillness": 0.75,
    }
    assert settings.host.model_dump() == {"status": "/run/reconet/status.json", "watchdog": True}
    assert settings.web.model_dump() == {"enabled": False, "bind": "127.0.0.1:8080", "hosts": [], "fps": 10}


def test_another_file_must_exist(tmp_path):
    with pytest.raises(Problem, match="cannot read .*other.toml: no such file: check the path after --config"):
        config.load(tmp_path / "other.toml")


@pytest.mark.parametrize("text", ["", "[camera]\n", "# nothing\n[host]\n"])
def test_an_empty_file_gives_the_defaults(tmp_path, text):
    assert load(tmp_path, text) == config.Settings()


def test_the_default_file_gives_the_defaults(tmp_path):
    assert load(tmp_path, config.defaults_as_toml()) == config.Settings()


def test_the_default_file_explains_every_key():
    lines = config.defaults_as_toml().splitlines()
    assert all(len(line) <= 100 for line in lines)
    keys = 0
    for section in config.Settings.model_fields:
        assert lines[lines.index(f"[{section}]") - 1].startswith("# ")
        for key in getattr(config.Settings(), section).model_dump():
            at = next(
                number
                for number in range(lines.index(f"[{section}]"), len(lines))
                if lines[number].startswith(f"{key} = ")
            )
            comment, number = "", at - 1
            while lines[number].startswith("# "):
                comment, number = lines[number][1:] + comment, number - 1
            assert "Allowed: " in comment and len(comment.split("Allowed: ")[0]) > 10, key
            keys += 1
    assert keys == sum(" = " in line and not line.startswith("#") for line in lines) == 42


def test_a_key_changes_and_the_others_stay(tmp_path):
    settings = load(tmp_path, '[camera]\ndevice = "/dev/video1"\nfps = 15\n[host]\nwatchdog = false\n')
    assert settings.camera.device == "/dev/video1" and settings.camera.fps == 15
    assert settings.camera.width == 0 and settings.engine == config.Engine()
    assert settings.host.watchdog is False


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("camera", "device", "/dev/v4l/by-id/usb-046d_C920-video-index0"),
        ("camera", "device", "virtual"),
        ("camera", "width", 0),
        ("camera", "fps", 1),
        ("camera", "fps", 120),
        ("display", "connector", "HDMI-A-1"),
        ("display", "connector", "eDP-1"),
        ("display", "connector", "none"),
        ("display", "connector", "Virtual-12"),
        ("display", "mode", "1920x1080"),
        ("display", "rotate", 270),
        ("display", "fit", "cover"),
        ("style", "name", "starry_night"),
        ("style", "folder", "/home/mendel/my styles"),
        ("engine", "plan", "lowres"),
        ("engine", "runtime", "tflite_runtime"),
        *(("engine", "device", device) for device in ("usb", "pci", "usb:0", "pci:9")),
        ("engine", "threads", 64),
        ("engine", "tpu_missing", "slate"),
        ("engine", "stillness", 0.0),
        ("host", "status", "/tmp/status.json"),
        ("web", "bind", "0.0.0.0:80"),
        ("web", "bind", "[::]:8080"),
        ("web", "fps", 30),
    ],
)
def test_allowed_values(tmp_path, section, key, value):
    text = f'"{value}"' if isinstance(value, str) else value
    assert getattr(getattr(load(tmp_path, f"[{section}]\n{key} = {text}\n"), section), key) == value


def test_a_camera_has_width_and_height_or_neither(tmp_path):
    assert load(tmp_path, "[camera]\nwidth = 160\nheight = 4096\n").camera.height == 4096
    line = refusal(tmp_path, "[camera]\nwidth = 640\n")
    assert line == 'camera = {"width": 640}: width and height are needed together, or neither'
    assert "needed together" in refusal(tmp_path, "[camera]\nheight = 480\n")


@pytest.mark.parametrize("name", ["off", "a", "btn_9", "previoussong", "767"])
def test_a_key_that_there_is(tmp_path, name):
    assert load(tmp_path, f'[keys]\nnext = "{name}"\n').keys.next == name


@pytest.mark.parametrize("name", ["zz", "f13", "768"])
def test_a_key_that_there_is_not_is_refused_with_all_names(tmp_path, name):
    line = refusal(tmp_path, f'[keys]\nnext = "{name}"\n')
    assert line.startswith(f'keys.next = "{name}": no key has that name or number: names are ')
    assert " nextsong, " in line and ": allowed is " in line


def test_a_mode_has_a_size(tmp_path):
    assert config.Display().size is None
    assert load(tmp_path, '[display]\nmode = "1920x1080"\n').display.size == (1920, 1080)


@pytest.mark.parametrize(
    "key, value, allowed",
    [
        ("camera.device", '"video0"', '"auto", "csi", "virtual" or a device, such as "/dev/video1"'),
        ("camera.device", '"/dev/vid\\neo0"', "a device"),
        ("camera.device", "0", "a device"),
        ("camera.width", "1281", "an even number from 160 to 4096"),
        ("camera.width", "99998", "an even number from 160 to 4096"),
        ("camera.width", '"1280"', "an even number from 160 to 4096"),
        ("camera.width", "158", "0, or an even number from 160 to 4096"),
        ("camera.height", "2", "0, or an even number from 120 to 4096"),
        ("camera.height", "-720", "an even number from 120 to 4096"),
        ("display.rotate", "45", "0, 90, 180 or 270"),
        ("display.fit", '"fill"', '"contain" or "cover"'),
        ("camera.fps", "0", "a whole number from 1 to 120"),
        ("camera.fps", "29.97", "a whole number from 1 to 120"),
        ("camera.fps", "true", "a whole number from 1 to 120"),
        ("camera.fps", "nan", "a whole number from 1 to 120"),
        ("camera.fps", "2026-11-23", "a whole number from 1 to 120"),
        ("display.connector", '"HDMI"', '"auto", "none" or a connector, such as "HDMI-A-1"'),
        ("display.mode", '"1080p"', '"preferred" or a size, such as "1920x1080"'),
        ("display.mode", '"1920x0"', '"preferred" or a size'),
        ("style.name", '"Starry Night"', '"newest" or the name of a style: lower-case letters, digits and _'),
        ("style.folder", '"styles"', "an absolute path of a folder"),
        ("engine.plan", '""', '"auto" or the name of a plan: lower-case letters, digits and _'),
        ("engine.size", '"640"', '"auto" or a size, such as "640x360"'),
        ("engine.device", '"usb:x"', '"auto", "usb", "pci", or one of several, such as "usb:0"'),
        ("engine.device", '"usb:"', '"auto", "usb", "pci", or one of several, such as "usb:0"'),
        ("engine.target_fps", "-1", "a whole number from 0 to 120"),
        ("engine.runtime", '"tensorflow"', '"auto", "pycoral", "libedgetpu", "tflite_runtime" or "ai_edge_litert"'),
        ("engine.threads", "65", "a whole number from 0 to 64"),
        ("engine.tpu_missing", '"wait"', '"cpu" or "slate"'),
        ("engine.stillness", "1.5", "a number from 0 to 1"),
        ("host.status", '"status.json"', "an absolute path of a file"),
        ("host.watchdog", "1", "true or false"),
        ("web.bind", '"8080"', 'an address and a port, such as "127.0.0.1:8080"'),
        ("web.bind", '"wall:8080"', "an address and a port"),
        ("web.fps", "0", "a whole number from 1 to 30"),
        ("mqtt.broker", '"mqtt://wall"', '"off" or a broker, such as "homeassistant.local"'),
        ("mqtt.password_file", '"secret"', "an absolute path of a file, or nothing"),
        ("style.every", '"10"', '"off" or a time, such as "30 s", "10 min" or "2 h"'),
        ("style.order", '"random"', '"name" or "shuffle"'),
        ("style.fade", "6", "a number from 0 to 5"),
        ("style.quiet", '"23-7"', '"off" or two times, such as "23:00-7:00"'),
        ("host.watchdog", '"on"', "true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(tmp_path, key, value, allowed):
    section, name = key.split(".")
    line = refusal(tmp_path, f"[{section}]\n{name} = {value}\n")
    assert line.startswith(f"{key} = ") and allowed in line
    assert value in line or value in ("nan", "2026-11-23")


@pytest.mark.parametrize(
    "text, line",
    [
        (
            "[camera]\nwidht = 640\n",
            "camera.widht = 640: unknown key: allowed in [camera] are device, width, height, fps, mirror, format",
        ),
        (
            "fps = 30\n",
            "fps = 30: unknown section: allowed are [camera], [display], [style], [engine], [keys], "
            "[buttons], [host], [web], [mqtt]",
        ),
        (
            "[camra]\nfps = 30\n",
            'camra = {"fps": 30}: unknown section: allowed are [camera], [display], [style], [engine], [keys], '
            "[buttons], [host], [web], [mqtt]",
        ),
        ("camera = 3\n", "camera = 3: allowed is a section [camera] with device, width, height, fps, mirror, format"),
        (
            "[[camera]]\nfps = 30\n",
            'camera = [{"fps": 30}]: allowed is a section [camera] with device, width, height, fps, mirror, format',
        ),
    ],
)
def test_an_unknown_key_is_refused_with_those_that_are_known(tmp_path, text, line):
    assert refusal(tmp_path, text) == line


@pytest.mark.parametrize(
    "text",
    [
        "[camera\n",
        "[camera]\nfps = \n",
        "[camera]\nfps = 1\nfps = 2\n",
        b"\xff\xfe",
        "a = " + "[" * 5000,
    ],
)
def test_what_is_not_toml_is_refused_with_what_to_do(tmp_path, text):
    assert refusal(tmp_path, text).startswith("not valid TOML: ")
    assert "remove it to take the defaults" in refusal(tmp_path, text)


def test_the_place_of_a_toml_error_is_reported(tmp_path):
    assert "line 2" in refusal(tmp_path, "[camera]\nfps = \n")


@pytest.mark.parametrize("value", ['"' + "x" * 5000 + '"', "0x" + "f" * 5000, "{" + "a." * 3000 + "a = 1}"])
def test_a_huge_value_still_gives_one_short_line(tmp_path, value):
    assert refusal(tmp_path, f"[camera]\nfps = {value}\n")


def test_a_folder_in_its_place_is_refused(tmp_path):
    with pytest.raises(Problem, match="cannot read .*config.toml: is a directory: make it a file") as caught:
        (tmp_path / "config.toml").mkdir()
        config.load(tmp_path / "config.toml")
    assert str(tmp_path) in str(caught.value)


def test_without_a_parser_only_a_file_is_a_problem(tmp_path, monkeypatch):
    for name in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(config, "PATH", tmp_path / "config.toml")
    assert config.load(tmp_path / "config.toml") == config.Settings()
    assert "no TOML parser: pip install tomli" in refusal(tmp_path, "[camera]\n")


def test_settings_do_not_change():
    with pytest.raises(ValueError):
        config.Settings().camera.fps = 15


def test_a_long_file_is_refused_before_it_is_parsed(tmp_path):
    assert "longer than 8192 bytes" in refusal(tmp_path, "a." * 32000 + "a = 1\n")


def test_names_of_hosts(tmp_path):
    assert load(tmp_path, '[web]\nhosts = ["wall.example", "art"]\n').web.hosts == ["wall.example", "art"]
    for wrong in ('"wall"', "[1]", '["a b"]', '["-"]', '["http://wall"]'):
        assert "allowed is a list of names" in refusal(tmp_path, f"[web]\nhosts = {wrong}\n")
