from __future__ import annotations

import pytest

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import ProcessConfig, parse_bytes, parse_formats


def test_formats_are_read_in_order_and_once() -> None:
    assert parse_formats("tiff, jpg,jpeg,linear-dng") == ("tiff", "jpeg", "linear-dng")
    with pytest.raises(ConfigurationError, match="'png' is not an output format"):
        parse_formats("jpeg,png")


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2_000_000_000), ("1.5 GiB", 1_610_612_736), ("800m", 800_000_000), ("17", 17)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "many", "2XB", "-1GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    "choice", [{"strength": 1.5}, {"formats": ()}, {"jpeg_quality": 0}, {"tile": 8}, {"steps": 0}]
)
def test_a_choice_outside_its_range_is_refused(choice: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ProcessConfig(**choice)  # type: ignore[arg-type]
