"""Figures of masks by hand; in pieces and packed they are the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.label.quality import MaskQuality, MaskQualityMeter
from pipeline.shards import LabelIndex
from pipeline.shards.receipts import find_receipts, read_receipt
from tests.pipeline.label.conftest import Bench


def figures_of(*pieces: NDArray[np.bool_] | NDArray[np.uint8]) -> MaskQuality | None:
    meter = MaskQualityMeter()
    for piece in pieces:
        meter.add(piece)
    return meter.figures()


def test_figures_by_hand() -> None:
    masks = np.zeros((4, 4, 6), bool)
    masks[0, :2] = True  # 12 of 24 pixels
    masks[1, 1:3] = True  # 12, of which 6 stay: 12 of 18 change
    # Frames 2 and 3 are empty: all of 12 change, then nothing does.
    assert figures_of(masks) == MaskQuality(coverage=0.25, empty_share=0.5, flicker=round((2 / 3 + 1 + 0) / 3, 4))


def test_a_still_mask_does_not_flicker() -> None:
    masks = np.repeat(np.random.default_rng(0).random((1, 8, 8)) > 0.5, 5, axis=0)
    figures = figures_of(masks)
    assert figures is not None
    assert figures.flicker == 0
    assert figures_of(masks[:1]) == figures
    assert figures_of(masks[:0]) is None


@pytest.mark.parametrize("sizes", [(10,), (1,) * 10, (3, 0, 4, 2, 1)])
@pytest.mark.parametrize("packed", [False, True])
def test_pieces_give_what_the_whole_gives(sizes: tuple[int, ...], packed: bool) -> None:
    masks = np.random.default_rng(1).random((10, 16, 20)) > 0.7
    given = np.packbits(masks.reshape(10, 16 * 20), axis=1) if packed else masks
    assert figures_of(*np.split(given, np.cumsum(sizes)[:-1])) == figures_of(masks)


def test_receipts_have_the_figures_of_every_labelled_video(bench: Bench) -> None:
    bench.label()
    index = LabelIndex(bench.shards_dir)
    outcomes = [entry for path in find_receipts(bench.shards_dir) for entry in read_receipt(path).outcomes]
    assert len(outcomes) == len(bench.records)
    for outcome in outcomes:
        if outcome.outcome == "quarantined":
            assert outcome.mask_quality is None
            continue
        labels = index.read(outcome.video_id, np.arange(outcome.frames))
        figures = figures_of(labels.masks[labels.valid])
        assert figures is not None
        assert outcome.mask_quality == figures._asdict()
