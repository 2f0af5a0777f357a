"""The denoising suite as Markdown: the ladder, and what stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rawdiff.report.denoise_cases import REFERENCE, SHARPNESSES
from rawdiff.report.denoise_suite import SuiteResult

_FIGURES = (
    ("ssim", "SSIM", "{:.4f}"),
    ("delta_e", "Colour difference CIEDE2000, mean", "{:.2f}"),
    ("aligned_psnr_db", "PSNR after a least-squares gain against the truth, dB", "{:.2f}"),
    ("aligned_ssim", "SSIM after a least-squares gain against the truth", "{:.4f}"),
)


def write_tables(found: SuiteResult, versus: str = "bm3d") -> str:
    """Every table, as Markdown. Gains are those over the method `versus`, where it is there."""
    parts = [describe(found), ladder(found)]
    if versus in found.methods():
        parts.append(_gains(found, versus))
    for figure, title, form in _FIGURES:
        parts.append(f"{title}\n\n{_grid(found, _cell(found, figure, form))}")
    parts += [_cameras(found), _bias(found), _flats(found)]
    return "\n\n".join(part for part in parts if part)


def describe(found: SuiteResult) -> str:
    """What the means are over."""
    photographs = {row.photograph for row in found.rows}
    cameras = [name for name in dict.fromkeys(row.condition for row in found.rows) if name != REFERENCE]
    names = ", ".join(cameras) or REFERENCE
    return (
        f"Means over {len(photographs)} photographs that never trained and {names}; sharp: as they are, "
        "soft: enlarged twice before the mosaic; packed raw, amplified, clipped to [0, 1], not aligned."
    )


def ladder(found: SuiteResult) -> str:
    """PSNR of every method, and its CPU seconds per megapixel."""
    cost = [f"{found.cpu_s_per_mp(method):.2f}" for method in found.methods()]
    return f"PSNR, dB\n\n{_grid(found, _cell(found, 'psnr_db', '{:.2f}'))}\n{_line('CPU s/MP', cost)}"


def _gains(found: SuiteResult, versus: str) -> str:
    def cell(method: str, ratio: float, sharpness: str) -> str:
        gain, error = found.gain(method, versus, ratio, sharpness)
        return f"{gain:+.2f} +- {error:.2f}"

    title = f"Gain over {versus} in PSNR, dB, +- standard error over photographs"
    return f"{title}\n\n{_grid(found, cell)}"


def _cell(found: SuiteResult, figure: str, form: str) -> Callable[[str, float, str], str]:
    return lambda method, ratio, sharpness: form.format(found.mean(method, ratio, sharpness, figure))


def _grid(found: SuiteResult, cell: Callable[[str, float, str], str]) -> str:
    """Rows by sharpness and ratio, a column a method."""
    methods = found.methods()
    lines = [_line("", methods), "|---" * (len(methods) + 1) + "|"]
    for sharpness in SHARPNESSES:
        for ratio in dict.fromkeys(row.ratio for row in found.rows):
            cells = [cell(method, ratio, sharpness) for method in methods]
            lines.append(_line(f"{sharpness}, ratio {ratio:g}", cells))
    return "\n".join(lines)


def _cameras(found: SuiteResult) -> str:
    """PSNR by camera: mean over photographs, sharpnesses and ratios."""
    methods = found.methods()
    lines = [_line("", methods), "|---" * (len(methods) + 1) + "|"]
    for condition in dict.fromkeys(row.condition for row in found.rows):
        cells = []
        for method in methods:
            values = [r.figures.psnr_db for r in found.rows if (r.method, r.condition) == (method, condition)]
            cells.append(f"{sum(values) / len(values):.2f}")
        lines.append(_line(condition, cells))
    return "PSNR by camera, dB, mean over all ratios and both sharpnesses\n\n" + "\n".join(lines)


def _bias(found: SuiteResult) -> str:
    """Relative bias per brightness of the truth."""
    methods = list(found.bias)
    edges = sorted({(row["from_e"], row["to_e"]) for rows in found.bias.values() for row in rows})
    if not edges:
        return ""
    lines = [_line("electrons", methods), "|---" * (len(methods) + 1) + "|"]
    for edge in edges:
        cells = []
        for method in methods:
            row = next(row for row in found.bias[method] if (row["from_e"], row["to_e"]) == edge)
            cells.append(f"{100 * row['bias']:+.2f} +- {100 * row['standard_error']:.2f}")
        lines.append(_line(f"{edge[0]:g} - {edge[1]:g}", cells))
    return "Bias per brightness of the truth, %, +- standard error\n\n" + "\n".join(lines)


def _flats(found: SuiteResult) -> str:
    """Flat grey: relative error of the mean, and the largest share of a grid's frequency."""
    if not found.flats:
        return ""
    methods = list(dict.fromkeys(flat.method for flat in found.flats))
    lines = [_line("electrons", methods), "|---" * (len(methods) + 1) + "|"]
    for level in dict.fromkeys(flat.level_e for flat in found.flats):
        row = {flat.method: flat for flat in found.flats if flat.level_e == level}
        error = next(iter(row.values())).standard_error
        cells = [f"{100 * row[method].bias:+.2f}; {row[method].pattern:.0e}" for method in methods]
        lines.append(_line(f"{level:g} (+- {100 * error:.2f} by noise)", cells))
    title = "Flat grey: error of the mean, %; largest share of its power at a period of 2 to 32 pixels"
    return f"{title}\n\n" + "\n".join(lines)


def _line(head: str, cells: Sequence[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"
