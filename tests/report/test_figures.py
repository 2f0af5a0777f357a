"""The figures: values land where the axes say, and what cannot be drawn is left out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rawdiff.report.figures import Axes, Series, draw_codes, draw_map, draw_plot
from rawdiff.report.page import Figure, Section, render_figures, render_page, render_table


def _dots(svg):
    return [
        (float(c.get("cx")), float(c.get("cy")))
        for c in ElementTree.fromstring(svg).iter()
        if c.tag.endswith("circle")
    ]


def test_points_lie_in_proportion_on_linear_axes():
    dots = _dots(draw_plot([Series([0, 1, 3], [0, 1, 3])], Axes("x [s]", "y [DN]")))
    (x0, y0), (x1, y1), (x2, y2) = dots
    assert (x2 - x0) == pytest.approx(3 * (x1 - x0), abs=0.3)
    assert (y2 - y0) == pytest.approx(3 * (y1 - y0), abs=0.3) and y2 < y0


def test_decades_are_equal_on_log_axes():
    dots = _dots(draw_plot([Series([1, 10, 100], [1, 10, 100])], Axes("x", "y", x_log=True, y_log=True)))
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.3)


def test_what_a_log_axis_cannot_show_is_left_out():
    svg = draw_plot([Series([0, 1, 10, np.nan], [1, -1, 10, 3])], Axes("x", "y", x_log=True, y_log=True))
    assert len(_dots(svg)) == 1


@pytest.mark.parametrize("values", [[], [5.0], [2.0, 2.0], [0.0, 0.0], [1e-9, 1e9]])
def test_degenerate_data_still_draw(values):
    svg = draw_plot([Series(values, values, "one")], Axes("x", "y"))
    assert ElementTree.fromstring(svg) is not None


def test_labels_are_escaped():
    svg = draw_plot([Series([1, 2], [1, 2], "<b>&")], Axes("<x>", "a & b"))
    assert "<b>" not in svg and "&amp;" in svg


def test_map_is_an_embedded_picture_with_its_scale():
    html = draw_map(np.linspace(-2, 2, 100).reshape(10, 10), "DN", diverging=True)
    assert len(re.findall(r'src="data:image/png;base64,', html)) == 2 and "DN" in html


def test_codes_are_counted_in_full():
    codes = np.zeros((1000, 2000), np.int64)
    codes[::100, ::100] = 1
    assert "hot 200" in draw_codes(codes, ((1, "hot", "#ffb000"),))


def test_page_escapes_and_sets_errors_small():
    table = render_table(["", "ISO <1>"], [["K", "1.0 ± 0.1"]])
    assert "<small>± 0.1</small>" in table and "ISO &lt;1&gt;" in table
    figures = render_figures([Figure("f", "T", "a < b", "<svg></svg>")])
    page = render_page("A & B", "lead", [Section("S", figures + table)], "end")
    assert "A &amp; B" in page and "a &lt; b" in page and page.startswith("<!doctype html>")
