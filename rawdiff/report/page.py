"""One self-contained HTML page: text, tables and figures in a sheet that prints well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; color: #1b1b1b; background: #fff;
       max-width: 1000px; margin: 2.5em auto; padding: 0 1.2em }
h1 { font-size: 1.7em; margin: 0 } h2 { font-size: 1.2em; margin: 2em 0 .5em; border-bottom: 1px solid #ddd }
p.lead { color: #555; margin: .2em 0 1.4em } p { max-width: 46em }
.figures { display: flex; flex-wrap: wrap; gap: 1.2em }
.panels { display: flex; flex-wrap: wrap; gap: .5em } .panels .map { width: 314px }
.map b { display: block } .map > img { width: 100%; image-rendering: pixelated }
figure { margin: 0; width: 470px } figure.wide { width: 100% }
figcaption { font-size: .87em; color: #333; margin-top: .2em }
figcaption b { color: #000 } figure svg, figure > img { display: block; max-width: 100%; height: auto }
figure > img { image-rendering: pixelated }
svg text { font: 11px system-ui, Arial, sans-serif; fill: #333 }
svg text.label { font-size: 12px; fill: #000 }
svg text.title { font-size: 14px; font-weight: 600; fill: #000 }
svg .grid { stroke: #e4e4e4; fill: none } svg .box { fill: none; stroke: #555 }
svg .band { fill: #009e73; opacity: .12 }
.crops { display: flex; flex-wrap: wrap; gap: .6em } figure.crop { width: auto }
.scale, .key { display: flex; align-items: center; gap: .6em; font-size: .8em; margin-top: .3em }
.scale img { flex: 1; min-width: 0; height: 8px } .scale span { white-space: nowrap }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .3em }
.table { overflow-x: auto }
table { border-collapse: collapse; font-size: .88em; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25em .8em } th { border-bottom: 1.5px solid #333; font-weight: 600 }
td { border-bottom: 1px solid #eee } th:first-child, td:first-child { text-align: left }
td small { color: #777 }
ul.verdicts { list-style: none; padding: 0 }
ul.verdicts li { margin: .2em 0; padding-left: 1.6em; position: relative }
ul.verdicts li::before { position: absolute; left: .2em; font-weight: 700 }
li.good::before { content: "\\2713"; color: #00734f } li.poor::before { content: "!"; color: #b3400a }
li.note::before { content: "\\00b7"; color: #777 } li b { font-weight: 600 }
footer { margin-top: 3em; color: #777; font-size: .8em } code { font-size: .92em; overflow-wrap: anywhere }
@media print { body { margin: 0 } figure { break-inside: avoid } }
"""


@dataclass(frozen=True)
class Figure:
    """A drawn figure (SVG or HTML) with a name, a title and a sentence that says what to see in it.

    A `wide` one takes the width of the page.
    """

    name: str
    title: str
    caption: str
    drawing: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with ready HTML under it."""

    heading: str
    html: str


def render_page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Put sections on a page; it loads nothing from anywhere."""
    body = "".join(f"<section><h2>{escape(s.heading)}</h2>{s.html}</section>" for s in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{body}'
        f"<footer>{escape(footer)}</footer></body></html>\n"
    )


def render_figures(figures: Sequence[Figure]) -> str:
    """Figures side by side, as many as fit."""
    drawn = "".join(
        f'<figure id="{escape(f.name)}"{" class=wide" if f.wide else ""}>{f.drawing}'
        f"<figcaption><b>{escape(f.title)}.</b> {escape(f.caption)}</figcaption></figure>"
        for f in figures
    )
    return f'<div class="figures">{drawn}</div>'


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text cells; a cell may hold `value ± error`, whose error is set small."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="table">{table}</div>'


def render_verdicts(verdicts: Sequence[tuple[str, str, str]]) -> str:
    """Verdicts of (grade, subject, text), grade one of good, note, poor."""
    items = "".join(
        f'<li class="{escape(grade)}"><b>{escape(subject)}</b>: {escape(text)}</li>'
        for grade, subject, text in verdicts
    )
    return f'<ul class="verdicts">{items}</ul>'


def _cell(text: str) -> str:
    value, mark, error = text.partition(" ± ")
    return escape(value) + (f" <small>± {escape(error)}</small>" if mark else "")
