from __future__ import annotations

from rawdiff.errors import DamagedFileError, RawdiffError, missing_extra


def test_an_error_is_one_line_with_what_where_and_what_to_do() -> None:
    error = DamagedFileError("strip 3 ends\nafter the file", where="a.dng", hint="copy it again")
    assert str(error) == "a.dng: strip 3 ends after the file (copy it again)"
    assert error.exit_code == 3


def test_every_error_has_the_exit_code_of_its_branch() -> None:
    codes = {cls.__name__: cls.exit_code for cls in RawdiffError.__subclasses__()}
    assert codes == {
        "ConfigurationError": 2,
        "InputError": 3,
        "CalibrationFramesError": 4,
        "ProcessingError": 5,
        "BatchError": 6,
    }


def test_a_missing_package_names_its_extra() -> None:
    assert "rawdiff[gpu]" in str(missing_extra("triton", "gpu"))
