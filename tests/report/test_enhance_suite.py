from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from rawdiff.cli.main import app
from rawdiff.errors import ConfigurationError, InputError
from rawdiff.recipes.catalog import RECIPES
from rawdiff.report import enhance_text
from rawdiff.report.enhance_figures import compare, lightness_order_error, to_lab
from rawdiff.report.enhance_methods import LINEAR_GAIN, choose_enhancers, gain_to_mean
from rawdiff.report.enhance_pictures import find_cases, run_pictures, tabulate_pictures
from rawdiff.report.enhance_raw import KNOWN_RATIO, RawScore, shoot_dark, tabulate_raw
from rawdiff.report.enhance_text import Reading, accuracy, render_text, tabulate_text

SHRINK = RECIPES["wavelet-shrink"]


def scene(height: int = 64, width: int = 80) -> torch.Tensor:
    draw = torch.rand(3, 8, 10, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(draw[None], size=(height, width), mode="bilinear")[0] * 0.7 + 0.05


def test_a_gain_is_an_error_of_level_alone() -> None:
    truth = scene()
    figures = compare(0.5 * truth, truth)
    assert figures["psnr"] < 20 and figures["aligned psnr"] > 100 and figures["level"] < -0.2
    assert compare(truth, truth)["delta e"] == 0
    assert compare(truth, truth)["level"] == 0


def test_lab_of_known_colours() -> None:
    """White, and the red of sRGB (CIE 15, D65, two degrees)."""
    colours = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])[:, None]
    white, red = to_lab(colours)[:, 0].T
    assert white.tolist() == pytest.approx([100, 0, 0], abs=1e-3)
    assert red.tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


def test_the_order_of_lightness_is_kept_by_a_gain_and_turned_by_a_negative() -> None:
    pixels = 50 * round(80 / 64 * 50)
    # Encoded values are reduced, as published, so that near neighbours in lightness may change places.
    grey = scene().mean(dim=0).expand(3, 64, 80)
    assert lightness_order_error(1.2 * grey, grey) < 0.02 * pixels
    # All pairs of different pixels are turned.
    assert lightness_order_error(1 - grey, grey) > 0.95 * pixels


def make_pair(folder: Path, name: str, low: str, high: str) -> None:
    shown = (scene().permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    for pattern, pixels in ((low, shown // 8), (high, shown)):
        path = folder / pattern.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(("low", "high"), [("{}_low.png", "{}_high.png"), ("low/{}.png", "high/{}.png")])
def test_pairs_are_found_and_measured(tmp_path: Path, low: str, high: str) -> None:
    make_pair(tmp_path, "a", low, high)
    make_pair(tmp_path, "b", low, high)
    cases = find_cases(tmp_path)
    assert [case.name for case in cases] == ["a", "b"] and all(case.lit is not None for case in cases)
    scores = run_pictures(cases[:1], {"gain": gain_to_mean}, SHRINK)
    assert [score.denoised for score in scores] == [False, True]
    (table,) = tabulate_pictures(scores)
    assert [row["method"] for row in table.rows] == ["gain", "denoised, gain"]
    assert all(float(str(row["PSNR"])) > 10 for row in table.rows)


def test_a_dark_picture_without_its_partner_is_told(tmp_path: Path) -> None:
    make_pair(tmp_path, "a", "{}_low.png", "{}_high.png")
    (tmp_path / "a_high.png").unlink()
    with pytest.raises(InputError, match="no normally lit partner"):
        find_cases(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_cases(tmp_path / "none")


def test_pictures_alone_have_no_truth(tmp_path: Path) -> None:
    make_pair(tmp_path, "a", "{}.png", "{}b.png")
    (table,) = tabulate_pictures(run_pictures(find_cases(tmp_path), {"gain": gain_to_mean}, None))
    assert "PSNR" not in table.columns and table.rows[0]["mean value"] == pytest.approx(0.4, abs=0.02)


def test_a_dark_raw_developed_by_its_known_ratio_is_the_scene() -> None:
    """At ratio 1 little noise is left, so levels, matrices and white balance must cancel.

    The camera clips colours outside its gamut; the scene's greyish colours are inside.
    """
    grey = 0.7 * scene().mean(dim=0, keepdim=True) + 0.1 * scene()
    pictures = shoot_dark(grey, SHRINK, ratio=1.0).pictures(["local"])
    assert set(pictures) == {KNOWN_RATIO, LINEAR_GAIN, "none", "local"}
    figures = compare(pictures[KNOWN_RATIO], grey)
    assert abs(figures["level"]) < 0.02 and figures["psnr"] > 28


def test_tables_of_raws_have_one_part_a_light() -> None:
    figures = compare(0.9 * scene(), scene())
    scores = [RawScore("local", light, "p", figures) for light in ("even", "ramp")]
    first, second = tabulate_raw(scores)
    assert "even" in first.title and "ramp" in second.title and first.rows[0]["PSNR"] == figures["psnr"]


def test_an_edit_distance_counts_letters() -> None:
    assert accuracy("light photon\nwindow", "light photon window") == 1
    assert accuracy("lght photon", "light photon") == pytest.approx(1 - 1 / 12)
    assert accuracy("", "light") == 0 and accuracy("x" * 50, "light") == 0


def test_text_is_rendered_dark_on_paper() -> None:
    page, words = render_text(12, 0)
    assert page.shape[0] == 3 and len(words.splitlines()) == 4
    assert float(page.max()) < 0.65 and 0.01 < float((page[1] < 0.1).float().mean()) < 0.3


def test_without_the_reader_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enhance_text.shutil, "which", lambda _: None)
    with pytest.raises(ConfigurationError, match="tesseract is not installed"):
        enhance_text.run_text(["local"], SHRINK)


def test_the_table_of_readings_is_in_percent() -> None:
    (table,) = tabulate_text([Reading("local", "even", 100.0, size, 0.5) for size in (12, 14)])
    assert table.rows[0]["12 px"] == 50 and table.rows[0]["mean"] == 50


def test_enhancers_are_chosen_by_name() -> None:
    assert choose_enhancers(["local", LINEAR_GAIN]) == ["local"]
    with pytest.raises(ConfigurationError, match="no enhancer"):
        choose_enhancers(["magic"])


def test_the_command_writes_tables_three_ways(tmp_path: Path) -> None:
    make_pair(tmp_path / "pairs", "a", "{}_low.png", "{}_high.png")
    arguments = [
        "evaluate",
        "enhance",
        "--photos",
        tmp_path / "pairs",
        "--recipe",
        "none",
        "--methods",
        "local",
    ]
    outputs = ["--markdown", tmp_path / "a.md", "--json-file", tmp_path / "a.json", "--json"]
    result = CliRunner().invoke(app, [str(word) for word in (*arguments, *outputs)])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["tables"][0]["rows"][0]["method"] == "local" and len(record["measured"]) == 1
    assert "| local |" in (tmp_path / "a.md").read_text()
    both = CliRunner().invoke(app, [*(str(word) for word in arguments), "--raw", "--ocr"])
    assert both.exit_code == 2 and "one part at a time" in both.output
