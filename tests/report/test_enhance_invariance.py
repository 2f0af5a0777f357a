from __future__ import annotations

import math

import pytest
import torch

from rawdiff.color.spaces import SRGB_TRANSFER
from rawdiff.report.enhance_invariance import (
    GAINS,
    measure_photograph,
    store16,
    tabulate_invariance,
)
from rawdiff.report.enhance_methods import encode_srgb, gain_to_mean
from rawdiff.report.tables import Table, join_markdown
from rawdiff.simulate.uneven_light import uneven_lights


def scene() -> torch.Tensor:
    draw = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(draw[None], size=(48, 64), mode="bilinear")[0] * 0.8


def test_the_encoding_is_that_of_the_pictures() -> None:
    light = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(encode_srgb(light), torch.from_numpy(SRGB_TRANSFER.encode(light.numpy())))


def test_the_lights_are_those_of_the_definition() -> None:
    lights = uneven_lights(200, 400)
    assert {light.shape for light in lights.values()} == {(3, 200, 400)}
    # Pixel centres: half a pixel of 400 away from the frame's edges.
    assert float(lights["ramp"][0, 5, 0] / lights["ramp"][2, 77, -1]) == pytest.approx(
        8 ** (1 - 1 / 400), rel=1e-5
    )
    brightest = int(lights["pool"][1].argmax())
    assert abs(brightest // 400 - 80) <= 1 and abs(brightest % 400 - 120) <= 1
    assert float(lights["pool"].min()) == pytest.approx(1 / 8, rel=1e-3)
    corner = lights["lamps"][:, 0, 0]  # where the other lamp adds exp(-4)
    assert (corner / corner[0]).tolist() == pytest.approx([1, 0.75, 0.45], abs=math.exp(-4))
    assert float(lights["lamps"][2, -1, -1]) == pytest.approx(1, rel=0.02)


def test_a_gain_agrees_with_itself_under_even_light_up_to_the_sixteen_bits() -> None:
    rows = measure_photograph(scene(), "scene", gain_to_mean, "gain")
    assert len(rows) == len(GAINS) + 3
    for row in rows[: len(GAINS)]:
        # Rounding to 1/65535 after a gain of 1/64: 64/65535/sqrt(12) rms of light; the encoding has a slope
        # below 4 where the scene has light, and the gain to the mean is below 3.
        assert row.own_db > -20 * math.log10(12 * 64 / 65535 / math.sqrt(12))
        assert row.level == pytest.approx(1, abs=0.003)
    assert all(row.own_db < 30 for row in rows if row.light in ("ramp", "pool"))


def test_a_method_that_ignores_its_input_agrees_with_itself_and_not_with_the_truth() -> None:
    rows = measure_photograph(scene(), "scene", lambda light: torch.full_like(light, 0.5), "grey")
    assert all(row.own_db == 99 and row.level == 1 for row in rows)
    assert all(row.truth_db < 20 for row in rows)


def test_sixteen_bits_keep_steps_of_one() -> None:
    light = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert float((store16(light) - light).abs().max()) <= 0.5 / 65535 + 1e-7
    assert float(store16(torch.tensor(-0.1))) == 0


def test_the_table_says_mean_and_worst() -> None:
    one = measure_photograph(scene(), "one", gain_to_mean, "gain")
    two = measure_photograph(scene().flip(2) ** 2, "two", gain_to_mean, "gain")
    (table,) = tabulate_invariance(one + two)
    ramp = next(row for row in table.rows if row["light"] == "ramp")
    values = [row.own_db for row in one + two if row.light == "ramp"]
    assert ramp["own dB"] == pytest.approx(sum(values) / 2) and ramp["worst own dB"] == min(values)


def test_tables_as_text_and_markdown_hold_every_cell() -> None:
    table = Table(
        "A title", ("method", "dB", "s/MP"), [{"method": "local", "dB": 20.126}], ["a note"], {"dB": 1}
    )
    assert table.as_text().splitlines()[2].split() == ["local", "20.1"]
    markdown = join_markdown([table])
    assert "| local | 20.1 |  |" in markdown and "a note" in markdown
    assert table.as_json()["rows"][0]["dB"] == 20.126
