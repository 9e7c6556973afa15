"""The receipt of a shard: written last, it is what "done" means, and it says what became of every planned video."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import Reason, ShardError
from pipeline.shards.cache import FileDigest
from pipeline.shards.repair_hint import repair_hint
from pipeline.shards.schema import SCHEMA_VERSION, is_shard_name, shard_name
from pipeline.store import find_files, read_files, read_present_files, write_atomically

Outcome = Literal["ok", "partial", "quarantined"]
_OUTCOMES = get_args(Outcome)
_REASONS = frozenset(Reason)
# The digest's place while the digest is computed: a key that no text within the receipt can look like.
_NO_DIGEST = '"digest": ""'


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOutcome:
    """What became of one planned video.

    Attributes:
        video_id: as in the manifest.
        outcome: "ok" and "partial" videos have rows in the shard, "quarantined" ones have none.
        reason: typed reason of what is not "ok" (a value of `pipeline.errors.Reason`), else None.
        message: the fault in words, else None.
        frames: rows in the shard.
        declared_frames: what the container says; None where it says nothing.
        attempts: how often it was tried.
        mask_quality: ``coverage``, ``empty_share`` and ``flicker`` of its masks (`pipeline.label.quality`); None where
            it has none, and in receipts of an older program.
    """

    video_id: str
    outcome: Outcome
    reason: str | None = None
    message: str | None = None
    frames: int = 0
    declared_frames: int | None = None
    attempts: int = 1
    mask_quality: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.outcome not in _OUTCOMES:
            raise ValueError(f"video {self.video_id}: outcome {self.outcome!r}, expected one of {_OUTCOMES}")
        known = self.reason is None or self.reason in _REASONS
        if (self.reason is None) != (self.outcome == "ok") or not known:
            raise ValueError(f"video {self.video_id}: outcome {self.outcome} with reason {self.reason}")
        if self.attempts < 1 or (self.declared_frames or 0) < 0:
            raise ValueError(f"video {self.video_id}: {self.attempts} attempts, {self.declared_frames} declared frames")
        if self.mask_quality is not None and not all(0 <= figure <= 1 for figure in self.mask_quality.values()):
            raise ValueError(f"video {self.video_id}: mask_quality {self.mask_quality}, expected shares of 1")
        if self.frames < 0 or (self.outcome == "quarantined" and self.frames):
            raise ValueError(f"video {self.video_id}: {self.outcome} with {self.frames} frames")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a shard holds and how it came about.

    Attributes:
        dataset, split: what was labelled.
        shard: the shard's name without suffix, ``<split>-00012-of-00480``.
        shard_index, shard_count: its place in the plan, from 0.
        sha256, shard_bytes: of the shard file.
        frames, videos: rows and videos in the shard; quarantined videos are not among them.
        fingerprint: as in the shard's root attributes.
        outcomes: one for each planned video, in the plan's order.
        attempt: names the attempt that made both, and the files it left them in; "" in receipts of an older program.
        seconds: wall time from first video to commit.
        stage_seconds: where the thread that passes frames on spent them: "decode_wait" waiting for frames,
            "decode_alone" waiting for one decoder while the others stood still, "teachers" with the teachers, "write"
            for the file and its commit. They sum to no more than `seconds`; receipts of an older program lack some.
        digest: SHA-256 of the receipt's text with an empty digest; None before it is written, and in receipts of an
            older program, which nothing but the rules below protects.
    """

    dataset: str
    split: str
    shard: str
    shard_index: int
    shard_count: int
    sha256: str
    shard_bytes: int
    frames: int
    videos: int
    fingerprint: str
    outcomes: tuple[VideoOutcome, ...]
    seconds: float
    stage_seconds: dict[str, float] = field(default_factory=dict)
    attempt: str = ""
    schema_version: int = SCHEMA_VERSION
    digest: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.shard != shard_name(self.split, self.shard_index, self.shard_count):
            raise ValueError(
                f"receipt of {self.shard}: shard_index {self.shard_index} of {self.shard_count} in split {self.split}"
            )
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"receipt of {self.shard}: {self.seconds} seconds")
        labelled = [outcome for outcome in self.outcomes if outcome.outcome != "quarantined"]
        if len(labelled) != self.videos or sum(outcome.frames for outcome in labelled) != self.frames:
            raise ValueError(
                f"receipt of {self.shard}: {self.videos} videos and {self.frames} frames, but its outcomes hold "
                f"{len(labelled)} and {sum(outcome.frames for outcome in labelled)}"
            )

    @property
    def labelled_ids(self) -> tuple[str, ...]:
        """The videos that have rows in the shard, in the order of the rows."""
        return tuple(outcome.video_id for outcome in self.outcomes if outcome.outcome != "quarantined")


def receipt_path_of(shard_path: Path) -> Path:
    """Return the receipt's path: the shard's with ``.json`` in place of ``.h5``."""
    return shard_path.with_suffix(".json")


def find_receipts(shards_dir: Path) -> list[Path]:
    """List the receipts of a data set's folder by name; [] where there is no folder. The plan is not among them."""
    return [path for path in find_files(shards_dir, "*.json") if is_shard_name(path.stem)]


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt durably and atomically; call it after the shard is committed.

    Raises:
        WorkspaceError: the disk is full or cannot be written.
    """
    text = _unsealed_text(receipt)
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_atomically(path, text.replace(_NO_DIGEST, _NO_DIGEST[:-1] + digest + '"'))


def count_receipt_bytes(receipt: Receipt) -> int:
    """Say how many bytes `write_receipt` writes."""
    return len(_unsealed_text(receipt).encode()) + hashlib.sha256().digest_size * 2


def _unsealed_text(receipt: Receipt) -> str:
    values = dataclasses.asdict(dataclasses.replace(receipt, digest=""))
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        ShardError: it is missing, no JSON, not of this schema, or not as it was written.
    """
    return _as_receipt(path, _read(path))


def read_all_receipts(shards_dir: Path, names: Collection[str]) -> dict[str, Receipt]:
    """Read the receipts of these shards that a folder has, by shard name; raises ShardError as `read_receipt` does."""
    return {path.stem: _as_receipt(path, content) for path, content in _read_all(shards_dir, names)}


def _as_receipt(path: Path, content: bytes) -> Receipt:
    values = _parse(path, content)
    digest = values.get("digest")
    if digest is not None:
        unsealed = content.replace(_NO_DIGEST[:-1].encode() + str(digest).encode(), _NO_DIGEST[:-1].encode())
        if hashlib.sha256(unsealed).hexdigest() != digest:
            raise _malformed(path, "its text is not the one that its digest was made of")
    try:
        outcomes = tuple(VideoOutcome(**outcome) for outcome in values["outcomes"])
        receipt = Receipt(**{**values, "outcomes": outcomes})
    except (TypeError, ValueError, KeyError) as error:
        raise _malformed(path, error) from error
    wrong = [name for name, kinds in _FIELD_KINDS.items() if not isinstance(getattr(receipt, name), kinds)]
    if wrong:
        raise _malformed(path, f"{wrong[0]} is {getattr(receipt, wrong[0])!r}")
    return receipt


def load_receipt_json(path: Path) -> dict[str, Any]:
    """Read a receipt's JSON object, checking only that it is one of this schema; raises ShardError."""
    return _parse(path, _read(path))


def load_all_receipts(shards_dir: Path, names: Collection[str] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Read the JSON objects of a folder's receipts, all or these shards', by one listing and many at once.

    A receipt that goes after the listing, since its shard is being replaced, is left out: the shard is not committed.
    """
    for path, content in _read_all(shards_dir, names):
        yield path, _parse(path, content)


def _read(path: Path) -> bytes:
    try:
        return next(read_files([path]))
    except OSError as error:
        raise _malformed(path, error) from error


def _read_all(shards_dir: Path, names: Collection[str] | None) -> Iterator[tuple[Path, bytes]]:
    paths = [path for path in find_receipts(shards_dir) if names is None or path.stem in names]
    yield from read_present_files(paths)


def digest_of(values: dict[str, Any]) -> FileDigest:
    """Return what a receipt's JSON object says of its shard's bytes; KeyError, TypeError or ValueError if nothing."""
    return FileDigest(str(values["sha256"]), int(values["shard_bytes"]))


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except ValueError as error:
        raise _malformed(path, error) from error
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        found = values.get("schema_version") if isinstance(values, dict) else type(values).__name__
        raise _malformed(path, f"schema version {found}, expected {SCHEMA_VERSION}")
    return values


_FIELD_KINDS: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "split": str,
    "shard": str,
    "shard_index": int,
    "shard_count": int,
    "sha256": str,
    "shard_bytes": int,
    "frames": int,
    "videos": int,
    "fingerprint": str,
    "seconds": (int, float),
    "stage_seconds": dict,
    "attempt": str,
}


def _malformed(path: Path, what: object) -> ShardError:
    return ShardError(f"receipt {path}: malformed ({' '.join(str(what).split())}); {repair_hint(path)}")
