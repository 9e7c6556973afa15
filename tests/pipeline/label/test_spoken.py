"""A figure is told in the unit of its size, small and large."""

import pytest

from pipeline.label.forecast import Figure
from pipeline.label.spoken import BYTE_UNITS, COUNT_UNITS, TIME_UNITS, Units, speak_figure


@pytest.mark.parametrize(
    ("estimate", "units", "expected"),
    [
        (0.0033, TIME_UNITS, "11.9 seconds"),
        (0.5, TIME_UNITS, "30 minutes"),
        (19_612.0, TIME_UNITS, "19,600 hours"),
        (0.0, TIME_UNITS, "0 seconds"),
        (60_900, BYTE_UNITS, "60.9 kB"),
        (2.9e11, BYTE_UNITS, "290 GB"),
        (105, COUNT_UNITS, "105"),
        (31_214, COUNT_UNITS, "31,200"),
        (70.1e6, COUNT_UNITS, "70.1 million"),
    ],
)
def test_a_figure_is_told_in_three_digits_of_its_unit(estimate: float, units: Units, expected: str) -> None:
    assert speak_figure(Figure(estimate, None, None), units) == expected


def test_a_range_has_the_unit_of_its_estimate() -> None:
    assert speak_figure(Figure(1.5, 0.5, 2.25), TIME_UNITS, of="GPU-") == "1.5 (0.5 to 2.25) GPU-hours"
