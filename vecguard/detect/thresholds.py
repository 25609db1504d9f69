"""Where benign traffic gets to once in the budget of false positives: one calibrated number a detector.

They lie in `thresholds.json` beside this module, which `python -m benchmarks detection calibrate` writes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vecguard.errors import ConfigError

FILE: Final = Path(__file__).parent / "thresholds.json"


class Thresholds(BaseModel):
    """`thresholds.json`. `detectors` holds, for each name, the statistic's value that is level 1.0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_positives_per_principal_day: Annotated[float, Field(gt=0, lt=1)]
    calibrated_on: str
    detectors: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


@cache
def calibrated(path: Path = FILE) -> Thresholds:
    """The thresholds that came with this release.

    Raises:
        ConfigError: the file is missing, or not of this form.
    """
    try:
        return Thresholds.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as broken:
        raise ConfigError(f"thresholds of detection in {path.name} cannot be read: {broken}") from broken


def threshold(detector: str) -> float:
    """The calibrated threshold of a detector.

    Raises:
        ConfigError: there is none; a detector that was never calibrated says nothing that can be acted on.
    """
    found = calibrated().detectors.get(detector)
    if found is None:
        raise ConfigError(f"detector {detector!r} has no calibrated threshold in {FILE.name}")
    return found
