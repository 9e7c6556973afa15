"""What a labelling run can be told: which teachers, how a worker labels, where the workers run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.errors import PlanError
from pipeline.label.messages import MAX_ATTEMPTS, DecodeLimits
from pipeline.precisions import PRECISIONS
from pipeline.shards.schema import BOTH_TEACHERS, TeacherKind

if TYPE_CHECKING:
    from pipeline.label.product import LoadedProduct

HUMAN_FACTORY = "teachers.human:load"
SCENE_FACTORY = "teachers.scene:load"
# Under which a plan's ingredients name the median of masks, and that the teachers are compiled, where it is so.
MASK_MEDIAN = "mask_median"
COMPILED = "compiled"
NO_MASK_MEDIAN = 1
# A GPU would wait for the host to start the kernels of small batches; on processors large ones only take memory.
GPU_BATCH_SIZE = 64
CPU_BATCH_SIZE = 16
# Sixteen decode faster than any GPU's teachers look; more would only hold memory, some 0.1 GB each.
MAX_DECODERS = 16
# Enough for any video of up to 8K; with less, sound files would be called too large.
LEAST_DECODER_BYTES = 1 << 30


@dataclass(frozen=True)
class TeacherSettings:
    """Which teachers label, and how exactly they compute.

    Attributes:
        human_path, scene_path: weights files.
        human_factory, scene_factory: ``module:function`` as `pipeline.label.teacher` describes.
        precision: "auto" is bfloat16 where the GPU or the processor computes in it, and float32 elsewhere.
        kinds: which of the two label; the other's file and factory are not touched.
        mask_median: frames over which masks are smoothed, odd; 1 leaves them as they are.
        compiled: whether torch compiles the networks, which moves labels by rounding.
    """

    human_path: Path
    scene_path: Path
    human_factory: str = HUMAN_FACTORY
    scene_factory: str = SCENE_FACTORY
    precision: str = "auto"
    kinds: tuple[TeacherKind, ...] = BOTH_TEACHERS
    mask_median: int = NO_MASK_MEDIAN
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r}; give one of {', '.join(PRECISIONS)}")
        if not self.kinds:
            raise ValueError("kinds is empty; name human, scene or both")
        if self.mask_median < 1 or self.mask_median % 2 == 0:
            raise ValueError(f"mask median of {self.mask_median} frames; give an odd number, or 1 for none")
        if self.mask_median > 1 and "human" not in self.kinds:
            raise ValueError("a mask median needs the human teacher; leave it out, or label with both teachers")

    @property
    def uses_gpu(self) -> bool:
        """True: the teachers are networks."""
        return True

    def load(self, settings: "LabelSettings", num_cpus: int) -> "LoadedProduct":
        """Load the teachers in a worker; see `pipeline.label.product.Product`."""
        # torch takes seconds to import; a driver does without it.
        from pipeline.label.teacher_product import load_teacher_product

        return load_teacher_product(self, settings, num_cpus)

    def digest_files(self) -> str | None:
        """Hash the teachers' files; see `digest_teacher_files`."""
        from pipeline.label.teacher_files import digest_teacher_files

        return digest_teacher_files(self)


def mask_median_of(ingredients: Mapping[str, str]) -> int:
    """Return the mask median that a plan was begun with, from its ingredients.

    Raises:
        PlanError: what they say is none.
    """
    found = ingredients.get(MASK_MEDIAN, str(NO_MASK_MEDIAN))
    if not found.isdecimal():
        raise PlanError(f"a plan's mask median is a number of frames, found {found!r}; restore plan.json")
    return int(found)


@dataclass(frozen=True)
class LabelSettings:
    """How a worker labels; none of it changes the labels but `batch_size`, through rounding alone.

    Attributes:
        batch_size: frames that go through the teachers together; every batch is filled up to it. None is
            `GPU_BATCH_SIZE` on a GPU and `CPU_BATCH_SIZE` elsewhere.
        num_decoders: decoding processes; None is one for each of the worker's processors, at most `MAX_DECODERS`.
        stall_sec: how long a decoder may send nothing before it counts as hung.
        decode_limits: what a decoder and a video in it may take.
        decoder_memory_bytes: resident memory of a decoder; None is its share of half of the worker's memory, at most
            what `decode_limits` says and at least `LEAST_DECODER_BYTES`.
        max_attempts: a video whose decoder dies or hangs so often is quarantined.
        compression: of the masks in the shard.
        teacher_stall_sec: a worker whose teachers are at one batch for so long, or on Ray answers nothing, has hung.
    """

    batch_size: int | None = None
    num_decoders: int | None = None
    stall_sec: float = 120.0
    decode_limits: DecodeLimits = field(default_factory=DecodeLimits)
    decoder_memory_bytes: int | None = None
    compression: Literal["gzip", "zstd"] = "gzip"
    max_attempts: int = MAX_ATTEMPTS
    teacher_stall_sec: float = 900.0

    def __post_init__(self) -> None:
        batch_size = 1 if self.batch_size is None else self.batch_size
        num_decoders = 1 if self.num_decoders is None else self.num_decoders
        if min(batch_size, num_decoders, self.stall_sec, self.max_attempts, self.teacher_stall_sec) <= 0:
            raise ValueError(
                f"batch_size, num_decoders, stall_sec, max_attempts and teacher_stall_sec must be positive, not {self}"
            )

    def decoders_for(self, num_cpus: int) -> int:
        """Choose the number of decoding processes of a worker that has so many processors."""
        return self.num_decoders or max(1, min(num_cpus, MAX_DECODERS))

    def limits_for(self, num_decoders: int, memory_bytes: int) -> DecodeLimits:
        """Choose what a decoder may take where a worker has so many, and so much memory for them and the teachers.

        Together they may fill half of it: else the kernel would end what it likes before a decoder meets its limit.
        """
        share = max(LEAST_DECODER_BYTES, memory_bytes // 2 // num_decoders)
        chosen = self.decoder_memory_bytes or min(self.decode_limits.memory_bytes, share)
        return dataclasses.replace(self.decode_limits, memory_bytes=chosen)


@dataclass(frozen=True)
class ClusterSettings:
    """Which workers Ray starts, and where.

    Attributes:
        address: of a running Ray cluster ("auto", "ray://host:10001"); None starts one on this machine.
        num_workers: actors, as far as there is room; None is one a GPU, or one a node where there are none.
        gpus_per_worker: GPUs an actor reserves; None is 1 where the cluster has GPUs, else 0.
        cpus_per_worker: processors an actor reserves and uses; None as `pipeline.label.places` says.
        shards_per_worker: after so many shards a worker makes place for a fresh one, for what its libraries leak.
        start_timeout_sec: how long the run waits while no worker can start, for nodes that come back.
    """

    address: str | None = None
    num_workers: int | None = None
    gpus_per_worker: float | None = None
    shards_per_worker: int = 50
    start_timeout_sec: float = 900.0
    cpus_per_worker: int | None = None

    def __post_init__(self) -> None:
        if min(self.shards_per_worker, self.start_timeout_sec) <= 0:
            raise ValueError(f"shards_per_worker and start_timeout_sec must be positive, not {self}")
        if self.num_workers is not None and self.num_workers < 1:
            raise ValueError(f"num_workers is {self.num_workers}; give 1 or more, or label without Ray")
        if self.cpus_per_worker is not None and self.cpus_per_worker < 1:
            raise ValueError(f"cpus_per_worker is {self.cpus_per_worker}; give 1 or more, or None")
