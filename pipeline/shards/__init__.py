"""Shards: pseudo-labels on disk. One writer a file, never appended to; the receipt, written last, is what "done" means."""

from pipeline.shards.index import LabelIndex
from pipeline.shards.reader import FrameLabels, ShardReader, open_shard
from pipeline.shards.receipts import Receipt, VideoOutcome, read_receipt, receipt_path_of, write_receipt
from pipeline.shards.schema import SCHEMA_VERSION, ShardHeader, VideoStatus
from pipeline.shards.verification import DatasetReport, ExpectedShard, Fault, verify_dataset, verify_shard
from pipeline.shards.writer import ShardSummary, ShardWriter

__all__ = [
    "SCHEMA_VERSION",
    "DatasetReport",
    "ExpectedShard",
    "Fault",
    "FrameLabels",
    "LabelIndex",
    "Receipt",
    "ShardHeader",
    "ShardReader",
    "ShardSummary",
    "ShardWriter",
    "VideoOutcome",
    "VideoStatus",
    "open_shard",
    "read_receipt",
    "receipt_path_of",
    "verify_dataset",
    "verify_shard",
    "write_receipt",
]
