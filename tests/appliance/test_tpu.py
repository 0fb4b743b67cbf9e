"""What the Edge TPU's driver reports about its temperature and its owner."""

import pytest

from appliance.host import tpu


@pytest.fixture
def apex(tmp_path):
    """Makes the folders of an Edge TPU: `apex(temp=61000)` writes files and reads its state."""

    def make(processes=(), **files):
        for name, value in files.items():
            (tmp_path / "apex_0").mkdir(exist_ok=True)
            (tmp_path / "apex_0" / name).write_text(f"{value}\n")
        for pid, name in processes:
            (tmp_path / "proc" / str(pid)).mkdir(parents=True)
            (tmp_path / "proc" / str(pid) / "comm").write_text(f"{name}\n")
        return tpu.read(tmp_path / "apex_0", tmp_path / "proc")

    return make


TRIPS = {"trip_point0_temp": 84800, "trip_point1_temp": 89800, "trip_point2_temp": 94800, "temp_poll_interval": 5000}


def test_no_tpu(apex):
    assert apex() is None


@pytest.mark.parametrize(
    "temp, crossed, clock",
    [
        (61050, 0, 500),
        (84799, 0, 500),
        (84800, 1, 250),
        (89799, 1, 250),
        (89800, 2, 125),
        (94800, 3, 63),
        (110000, 3, 63),
    ],
)
def test_each_trip_point_halves_the_clock(apex, temp, crossed, clock):
    state = apex(temp=temp, **TRIPS)
    assert state.temperature == temp / 1000 and state.trip_points == (84.8, 89.8, 94.8)
    assert (state.crossed, state.clock_mhz, state.hot) == (crossed, clock, crossed > 0)


def test_the_warning_says_how_hot_how_slow_and_what_to_do(apex):
    assert apex(temp=61000, **TRIPS).warning is None
    assert apex(temp=90100, **TRIPS).warning == (
        "Edge TPU too hot: 90 degC, limit 90 degC: it runs at 125 instead of 500 MHz: cool the board"
    )


def test_a_driver_that_does_not_poll_does_not_throttle(apex):
    state = apex(temp=90100, **dict(TRIPS, temp_poll_interval=0))
    assert state.hot and state.clock_mhz == 500
    assert "does not slow it down: cool the board" in state.warning


@pytest.mark.parametrize("temp", [-89700, 166050, "", "hot", "61.5"])
def test_a_temperature_that_cannot_be_is_unknown(apex, temp):
    state = apex(temp=temp, **TRIPS)
    assert (state.temperature, state.crossed, state.hot, state.clock_mhz, state.warning) == (None, 0, False, None, None)


def test_files_that_an_older_driver_lacks_are_unknown(apex):
    assert apex(driver_version="1.0") == tpu.Tpu()
    assert apex(temp=99000).hot is False
    assert apex(temp=91000, trip_point1_temp=90000).crossed == 2


def test_who_holds_the_tpu(apex):
    assert apex(device_owner=0).owner is None
    assert (apex(device_owner=77).owner, apex(device_owner=77).owner_name) == (77, None)
    assert apex([(77, "python3")], device_owner=77).owner_name == "python3"


def test_a_file_that_the_driver_fails_to_give_is_unknown(apex, tmp_path):
    apex(device_owner=0)
    (tmp_path / "apex_0" / "temp").mkdir()  # reading it is an OSError
    assert apex().temperature is None
