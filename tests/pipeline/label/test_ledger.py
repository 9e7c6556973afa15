"""Rows on their way into a shard: what a teacher gives in another form is found before it is packed."""

from pathlib import Path

import numpy as np
import pytest

from manifests import VideoRecord
from pipeline.label.decoder import DecodedChunk
from pipeline.label.ledger import Ledger
from pipeline.label.product import FrameRows
from pipeline.shards import ShardWriter
from tests.pipeline.shards.made import HEIGHT, WIDTH, make_header


@pytest.mark.parametrize(
    "masks",
    [
        np.zeros((2, WIDTH, HEIGHT), bool),
        np.zeros((2, HEIGHT, WIDTH), np.int64),
        np.zeros((2, HEIGHT * WIDTH // 8), np.uint8),
        np.zeros((2, HEIGHT * WIDTH), bool),
        np.zeros((3, HEIGHT, WIDTH), bool),
    ],
)
def test_masks_of_another_form_are_refused(tmp_path: Path, masks: np.ndarray) -> None:
    video = VideoRecord("v", tmp_path / "v.mp4", "train", 0, "class")
    pixels = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    with ShardWriter(tmp_path / "a.h5", make_header(teachers=("human",))) as writer:
        ledger = Ledger(writer, None)
        ledger.expect(video, DecodedChunk(pixels, np.ones(2, bool), np.zeros(2, np.uint64)))
        with pytest.raises(ValueError, match=f"masks must be bool .2, {HEIGHT}, {WIDTH}., not {masks.dtype}"):
            ledger.write(FrameRows(2, masks))
        ledger.write(FrameRows(2, np.zeros((2, HEIGHT, WIDTH), bool)))
