"""Read stacks of optical flow in place of frames: the temporal stream's input.

Shape suffixes: T stacks, H/W frame size, C = 10 channels: x and y of five neighbouring flows.
Source: Temporal Segment Networks; protocol: five pairs, the last pair repeated at the end of a video.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from manifests.record import VideoRecord
from pipeline.errors import Reason, VideoError, WorkspaceError
from pipeline.flow.coding import decode
from pipeline.shards import LabelIndex
from pipeline.workspace import Workspace
from student.clips import LabelledFrames
from student.modality import NUM_PAIRS

logger = logging.getLogger(__name__)


class FlowReader:
    """Read the flow of the videos of one data set; every loading process has its own copy.

    A stack stands where a frame stands elsewhere: at index i, the flows of frames i to i + 4.

    Args:
        flows: the committed shards of flow.
    """

    is_flow = True

    def __init__(self, flows: LabelIndex) -> None:
        self._flows = flows

    def num_frames(self, record: VideoRecord) -> int:
        """Return a video's frames, by its shard.

        Raises:
            VideoError: it has no flow.
        """
        if record.video_id not in self._flows or not self._flows.num_frames(record.video_id):
            raise VideoError(
                Reason.MISSING,
                f"{record.video_id}: no optical flow in {self._flows.shards_dir}; see kinet-pipeline status --flow",
            )
        return self._flows.num_frames(record.video_id)

    def read(self, record: VideoRecord, frame_indices: NDArray[np.int64]) -> LabelledFrames:
        """Read the stacks at some frames: uint8 [T, H, W, 10] in 1..255, x and y in turn, 128 at rest; no labels.

        Raises:
            VideoError: the video has no flow.
            ShardError: its shard is damaged.
        """
        last = self.num_frames(record) - 1
        rows = np.minimum(frame_indices[:, None] + np.arange(NUM_PAIRS), last)
        wanted, places = np.unique(rows, return_inverse=True)
        flows = self._flows.read(record.video_id, wanted).flows
        assert flows is not None  # `open_flow` opened a folder of flow
        planes_N2HW = np.stack([decode(flow) for flow in flows])
        stacks_TP2HW = planes_N2HW[places.reshape(rows.shape)]
        frames = stacks_TP2HW.reshape(len(rows), 2 * NUM_PAIRS, *planes_N2HW.shape[2:]).transpose(0, 2, 3, 1)
        return LabelledFrames(frames, None, None, None, np.zeros(len(rows), np.bool_), ())


def open_flow(workspace: Workspace, dataset: str, records: list[VideoRecord]) -> LabelIndex:
    """Open a data set's committed shards of flow, and say how many videos have none.

    Raises:
        WorkspaceError: none of these videos is in them.
    """
    flows = LabelIndex(workspace.flow_shards_dir(dataset))
    num_found = sum(record.video_id in flows for record in records)
    if num_found == 0:
        raise WorkspaceError(
            f"data set {dataset}: none of {len(records)} videos has optical flow in {flows.shards_dir}; run "
            f"kinet-pipeline extract-flow --dataset {dataset} first"
        )
    if num_found < len(records):
        logger.warning("%d of %d videos have no optical flow and are left out", len(records) - num_found, len(records))
    return flows
