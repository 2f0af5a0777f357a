"""Programs outside the product: the protocol, what goes wrong, what is kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from rawdiff.errors import ConfigurationError, DamagedFileError, ProcessingError
from rawdiff.report.denoise_cases import DarkFrame, conditions, expose
from rawdiff.report.denoise_suite import judge
from rawdiff.report.peers import Figures, KeptFigures, Peer, parse_peer

ANSWER = """
import sys
import numpy as np
for line in sys.stdin:
    source, target = line.split()
    with np.load(source) as frame:
        given = dict(frame)
    {body}
    print(0.25, flush=True)
"""


def _frame(ratio: float = 100.0) -> DarkFrame:
    return expose(torch.full((32, 32), 0.5), "flat.png", "sharp", conditions([])[0], ratio)


def _program(folder: Path, body: str) -> list[str]:
    path = folder / "peer.py"
    path.write_text(ANSWER.format(body=body), encoding="utf-8")
    return [sys.executable, str(path)]


def test_a_peer_answers_with_planes_as_they_are(tmp_path: Path) -> None:
    frame = _frame()
    with Peer("half", _program(tmp_path, "np.savez(target, planes=given['planes'] / 2)")) as peer:
        for _ in range(2):
            planes, seconds = peer.denoise(frame)
            assert torch.equal(planes, frame.noisy / 2)
            assert seconds == 0.25


def test_stabilised_planes_come_back_by_the_exact_inverse(tmp_path: Path) -> None:
    """The mean of unit-noise planes, inverted, is the light: 19.8 electrons, biased by 1/4 if naive."""
    frame = _frame()
    body = "m = given['stabilised'].mean(); np.savez(target, stabilised=np.full((4, 16, 16), m))"
    with Peer("mean", _program(tmp_path, body)) as peer:
        planes, _ = peer.denoise(frame)
    electrons = float((planes / frame.gain.view(4, 1, 1)).mean())
    truth = float((frame.clean / frame.gain.view(4, 1, 1)).mean())
    # 1024 pixels of variance 20.9: the mean is known to 0.14 electrons.
    assert abs(electrons - truth) < 4 * 0.15


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("sys.exit(3)", "no CPU seconds"),
        ("pass", "left no planes"),
        ("np.savez(target, picture=given['planes'])", "answers with"),
        ("np.savez(target, planes=given['planes'][:, :4])", "planes"),
    ],
)
def test_a_peer_that_fails_is_named(body: str, complaint: str, tmp_path: Path) -> None:
    with Peer("broken", _program(tmp_path, body)) as peer, pytest.raises(ProcessingError, match=complaint):
        peer.denoise(_frame())


def test_a_peer_that_is_none_is_refused() -> None:
    assert parse_peer("bm3d=python 'a b.py' --x") == ("bm3d", ["python", "a b.py", "--x"])
    for text in ("bm3d", "=python", "bm3d="):
        with pytest.raises(ConfigurationError, match="no peer"):
            parse_peer(text)
    with pytest.raises(ConfigurationError, match="cannot be started"):
        Peer("nobody", ["/no/such/program"])


def test_figures_are_kept_by_frame(tmp_path: Path) -> None:
    frame, other = _frame(), _frame(300.0)
    figures = judge(frame, frame.noisy, 1.5)
    KeptFigures(tmp_path / "kept.json").keep("bm3d", frame, figures)
    again = KeptFigures(tmp_path / "kept.json")
    found = again.find("bm3d", frame)
    assert again.peers() == ["bm3d"]
    assert isinstance(found, Figures)
    assert found.psnr_db == pytest.approx(figures.psnr_db, rel=1e-5)
    assert again.find("bm3d", other) is None
    assert again.find("nlm", frame) is None
    again.keep("bm3d", other, figures)
    assert KeptFigures(tmp_path / "kept.json").find("bm3d", frame) == found
    (tmp_path / "kept.json").write_text('{"bm3d": [1]}', encoding="utf-8")
    with pytest.raises(DamagedFileError, match="not figures"):
        KeptFigures(tmp_path / "kept.json")


def test_a_frame_is_known_by_its_content() -> None:
    assert _frame().digest() == _frame().digest()
    assert len({_frame().digest(), _frame(300.0).digest()}) == 2
