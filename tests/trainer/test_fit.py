"""The fit behind the predictions: its constants, and its error on sources that were left out."""

import numpy as np
import pytest

from benchmarks import fit
from benchmarks.fit import Row
from benchmarks.latencies import CLIFF, LIBREDGETPU, MODELS
from trainer.edgetpu import predict

KNOWN = np.array([1.0, 0.3, 2.4, 0.8])


def test_the_fit_recovers_known_constants(rng):
    works = rng.uniform(0.1, 50, (12, 4))
    rows = [Row("", f"source {i % 3}", tuple(work), 1.5, float(KNOWN @ work) + 1.5) for i, work in enumerate(works)]
    assert fit.fit(rows) == pytest.approx(KNOWN, rel=1e-6)
    constants, factor = fit.without(rows, "source 1")
    assert constants == pytest.approx(KNOWN) and factor == pytest.approx(1)


def test_the_fit_finds_known_constants_in_noise(rng):
    works = rng.uniform(0.1, 50, (300, 4))
    rows = [Row("", "one", tuple(work), 0.0, float(KNOWN @ work * rng.lognormal(0, 0.1))) for work in works]
    assert fit.fit(rows) == pytest.approx(KNOWN, rel=0.25)


def test_a_source_weighs_the_same_with_one_row_and_with_many():
    fast, slow = Row("", "fast", (1.0, 0, 0, 0), 0.0, 1.0), Row("", "slow", (1.0, 0, 0, 0), 0.0, 2.0)
    assert fit.fit([fast, slow])[0] == pytest.approx(fit.fit([fast] * 9 + [slow])[0])


def test_the_product_has_the_constants_of_the_fit():
    rows = fit.rows()
    assert predict.ALL == pytest.approx(fit.fit(rows), rel=1e-3)
    assert set(predict.WITHOUT) == {row.source for row in rows}
    for source, (constants, factor) in predict.WITHOUT.items():
        expected, missed = fit.without(rows, source)
        assert constants == pytest.approx(expected, rel=1e-3)
        assert factor == pytest.approx(missed, rel=1e-3)


def test_what_was_fitted_is_physically_possible():
    cycles, parameters, link, call = predict.ALL
    assert 0.5 < cycles < 2  # a cycle at 500 MHz is 2 ns; the compiler's are half as long
    assert 1e3 / link < 500  # PCIe Gen2 x1 carries 500 MB/s
    assert 0 < parameters < 1 and 0 < call < 2


def test_what_is_measured_lies_near_what_is_fitted():
    errors = [fit.predicted(row, fit.fit(fit.rows())) / row.ms - 1 for row in fit.rows()]
    assert np.sqrt(np.mean(np.square(errors))) < 0.08 and np.abs(errors).max() < 0.2


def test_published_rows_agree_with_themselves():
    for model in MODELS:
        macs = sum(model[f"macs_{kind}"] for kind in ("conv", "depthwise", "dense"))
        assert macs > model["parameters"] / 2 and model["cpu_ms"] > 10 * model["ms"]


def test_everything_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert fit.main() == 0
    shown = capsys.readouterr().out
    for word in ("ALL = Constants(", "MobileNet v1", "PRISMA-Net", "libredgetpu", "left out"):
        assert word in shown
    assert len(LIBREDGETPU) == 5 and len(CLIFF) == 3
