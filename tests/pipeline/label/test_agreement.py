"""One odd node neither decides what a job labels with nor stops it."""

import pytest

from pipeline.errors import KinetError
from pipeline.label.agreement import REFUSED_SEC, Refusals, choose_agreed
from pipeline.label.description import WorkerDescription

HEALTHY, ODD = {"precision": "bfloat16", "decoder": "x"}, {"precision": "float32", "decoder": "x"}


@pytest.mark.parametrize(
    ("reports", "num_asked", "is_last_call", "expected"),
    [
        ([], 2, True, None),
        ([ODD], 1, False, ODD),
        # The odd one is ready first, as a node that loads onto no GPU is.
        ([ODD], 3, False, None),
        ([ODD, HEALTHY], 3, False, None),
        ([ODD, HEALTHY, HEALTHY], 3, False, HEALTHY),
        # Half of those asked for is no majority of them, yet all that come.
        ([HEALTHY, HEALTHY], 4, False, None),
        ([HEALTHY, HEALTHY], 4, True, HEALTHY),
        ([HEALTHY, HEALTHY, HEALTHY], 4, False, HEALTHY),
    ],
)
def test_a_majority_decides(
    reports: list[dict[str, str]], num_asked: int, is_last_call: bool, expected: dict[str, str] | None
) -> None:
    assert choose_agreed(reports, num_asked, is_last_call=is_last_call) == expected


@pytest.mark.parametrize(("num_asked", "is_last_call"), [(2, False), (5, True)])
def test_without_a_majority_the_difference_is_named(num_asked: int, is_last_call: bool) -> None:
    with pytest.raises(KinetError, match=r"differ in precision \((bfloat16|float32) on one, (bfloat16|float32) on"):
        choose_agreed([ODD, HEALTHY], num_asked, is_last_call=is_last_call)


def test_a_node_is_refused_for_a_while_and_a_job_only_where_all_are() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    assert refusals.of_all({"a"}) is None
    refusals.add("a", KinetError("odd"), WorkerDescription(ODD, 8, None))
    refusal = refusals.of_all({"a"})
    assert refusal is not None and refusal.description == WorkerDescription(ODD, 8, None)
    assert refusals.of_all({"a", "b"}) is None and refusals.of_all(set()) is None
    refusals.add("b", KinetError("odd too"), None)
    assert refusals.of_all({"a", "b"}) is refusal
    now[0] = REFUSED_SEC
    assert refusals.nodes == frozenset()
