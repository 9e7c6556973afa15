"""The rows that workers make of frames: in order, one for each, whatever the threads do."""

import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import PlanError, WorkspaceError
from pipeline.flow.coding import ZERO, decode
from pipeline.flow.product import FlowProduct, load_flow_product
from pipeline.flow.settings import FlowSettings
from pipeline.label.product import FrameRows
from pipeline.label.settings import LabelSettings
from pipeline.label.worker import ShardWorker
from tests.videos import moving_frames


def flows_of(rows: list[FrameRows]) -> list[bytes]:
    """Gather the rows' flows, and see that each says how many it has."""
    flows = []
    for part in rows:
        assert part.flows is not None and len(part.flows) == part.num_frames
        flows += part.flows
    return flows


@pytest.fixture(scope="module")
def product() -> FlowProduct:
    return load_flow_product(FlowSettings("dis"), num_threads=3)


@pytest.fixture(scope="module")
def videos() -> list[NDArray[np.uint8]]:
    return [moving_frames(length, 256, 336, seed) for seed, length in enumerate((7, 1, 40))]


def test_a_machine_without_threads_is_no_videos_fault(videos: list[NDArray[np.uint8]]) -> None:
    product = load_flow_product(FlowSettings("dis"), num_threads=1)
    # More than there are addresses: no thread can start.
    usual = threading.stack_size(2**47)
    try:
        with pytest.raises(WorkspaceError, match=r"flow cannot be computed \(can't start new thread\)"):
            product.make_rows().add(videos[0])
    finally:
        threading.stack_size(usual)


def extract(product: FlowProduct, videos: list[NDArray[np.uint8]], chunk: int) -> list[bytes]:
    maker = product.make_rows()
    rows = []
    for frames in videos:
        for start in range(0, len(frames), chunk):
            part = frames[start : start + chunk].copy()
            rows += maker.add(part)
            part[:] = 0  # The frames' memory is used again.
        rows += maker.end_video()
    return flows_of([*rows, *maker.finish()])


def test_each_frame_has_a_row_and_the_last_repeats_the_one_before(
    product: FlowProduct, videos: list[NDArray[np.uint8]]
) -> None:
    flows = extract(product, videos, 16)
    assert len(flows) == sum(map(len, videos))
    assert flows[6] == flows[5] != flows[4]
    assert flows[-1] == flows[-2]


def test_a_video_of_one_frame_is_at_rest(product: FlowProduct) -> None:
    (flow,) = extract(product, [moving_frames(1, 256, 340 // 8 * 8)], 16)
    assert (decode(flow) == ZERO).all()


def test_bytes_do_not_depend_on_threads_or_chunks(product: FlowProduct, videos: list[NDArray[np.uint8]]) -> None:
    alone = load_flow_product(FlowSettings("dis"), num_threads=1)
    assert extract(product, videos, 16) == extract(alone, videos, 5) == extract(product, videos, 100)


def test_a_closed_worker_drops_the_pairs_that_wait(tmp_path: Path) -> None:
    product = load_flow_product(FlowSettings("dis"), num_threads=1)
    first, second = (frame[..., 0].copy() for frame in moving_frames(2, 256, 336))
    flows = [product.start(first, second) for _ in range(100)]
    product.close()
    assert flows[-1].cancelled()
    worker = ShardWorker(FlowSettings("dis"), LabelSettings(), tmp_path, num_cpus=1)
    frames = moving_frames(2, 256, 336)
    worker.predict([frames])
    worker.close()
    with pytest.raises(WorkspaceError, match="after shutdown"):
        worker.predict([frames])


def test_few_pairs_wait_however_many_frames_come_at_once() -> None:
    started: list[Future[bytes]] = []
    num_waiting = []

    class Watched(FlowProduct):
        def start(self, first_HW: NDArray[np.uint8], second_HW: NDArray[np.uint8]) -> Future[bytes]:
            num_waiting.append(sum(not flow.done() for flow in started))
            started.append(super().start(first_HW, second_HW))
            return started[-1]

    maker = Watched(FlowSettings("dis"), num_threads=1).make_rows()
    assert len(flows_of([*maker.add(moving_frames(40, 256, 336)), *maker.finish()])) == 40
    assert max(num_waiting) <= 4


def test_a_plan_gives_its_settings_back() -> None:
    settings = FlowSettings("tvl1-fast", 77)
    assert FlowSettings.of_plan({"flow": settings.describe("4.10.0")}) == settings
    with pytest.raises(PlanError, match="plan of flow"):
        FlowSettings.of_plan({"human_teacher": "x"})
    with pytest.raises(PlanError, match="method 'raft'; give one of"):
        FlowSettings.of_plan({"flow": "raft jpeg 90 bound 20, RAFT, OpenCV 5.0.0"})


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="tvl1, tvl1-fast, dis"):
        FlowSettings("farneback")
    with pytest.raises(ValueError, match="1 to 100"):
        FlowSettings(quality=0)
