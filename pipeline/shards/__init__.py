"""Pseudo-labels on disk: one writer a file, never appended to; the receipt, written last, is what "done" means."""

from pipeline.shards.index import LabelIndex
from pipeline.shards.joined import JoinedLabels, label_dirs, open_labels
from pipeline.shards.reader import FrameLabels, ShardReader, open_shard
from pipeline.shards.receipts import Receipt, VideoOutcome, read_receipt, receipt_path_of, write_receipt
from pipeline.shards.sanity import LabelFigures, find_oddities, sum_figures
from pipeline.shards.schema import SCHEMA_VERSION, ShardHeader, VideoStatus
from pipeline.shards.verification import (
    BadShard,
    DatasetReport,
    ExpectedShard,
    Fault,
    set_aside,
    verify_dataset,
    verify_shard,
)
from pipeline.shards.writer import ShardSummary, ShardWriter

__all__ = [
    "SCHEMA_VERSION",
    "BadShard",
    "DatasetReport",
    "ExpectedShard",
    "Fault",
    "FrameLabels",
    "JoinedLabels",
    "LabelFigures",
    "LabelIndex",
    "Receipt",
    "ShardHeader",
    "ShardReader",
    "ShardSummary",
    "ShardWriter",
    "VideoOutcome",
    "VideoStatus",
    "find_oddities",
    "label_dirs",
    "open_labels",
    "open_shard",
    "read_receipt",
    "receipt_path_of",
    "set_aside",
    "sum_figures",
    "verify_dataset",
    "verify_shard",
    "write_receipt",
]
