"""The teachers' labels as a product of workers."""

import torch

from pipeline.label.batches import TeacherBatches
from pipeline.label.mask_median import MedianMasks
from pipeline.label.product import RowMaker
from pipeline.label.settings import (
    COMPILED,
    CPU_BATCH_SIZE,
    GPU_BATCH_SIZE,
    MASK_MEDIAN,
    LabelSettings,
    TeacherSettings,
)
from pipeline.label.teacher_loading import (
    Teachers,
    choose_precision,
    compile_teachers,
    describe_teachers,
    load_teachers,
)


class TeacherProduct:
    """Teachers on their device, and the size of their batches; see `pipeline.label.product.LoadedProduct`.

    Args:
        teachers: loaded.
        precision: in which they compute.
        batch_size: frames that go through them together.
        mask_median: frames over which masks are smoothed; 1 leaves them as they are.
        compiled: whether the teachers are.
    """

    def __init__(
        self, teachers: Teachers, precision: str, batch_size: int, *, mask_median: int = 1, compiled: bool = False
    ) -> None:
        self.teachers = teachers
        self._mask_median = mask_median
        self.ingredients = {"precision": precision, **describe_teachers(teachers)}
        # Without the two, labels are what they were before there were any.
        if mask_median > 1:
            self.ingredients[MASK_MEDIAN] = str(mask_median)
        if compiled:
            self.ingredients[COMPILED] = "yes"
        self.stage = "teachers"
        self.batch_size: int | None = batch_size
        self.trial_frames = batch_size

    def make_rows(self) -> RowMaker:
        """Begin the batches of a shard."""
        batches = TeacherBatches(self.teachers, self.trial_frames)
        return MedianMasks(batches, self._mask_median) if self._mask_median > 1 else batches

    def close(self) -> None:
        """Do nothing: teachers compute in their caller's thread."""


def load_teacher_product(teachers: TeacherSettings, settings: LabelSettings, num_cpus: int) -> TeacherProduct:
    """Load the teachers where there is a GPU on it, else on so many processors (Ray would choose one).

    Raises:
        TeacherError: a factory or its file is not to be had, what it makes does not follow the protocol, or a teacher
            that is to be compiled cannot be.
    """
    torch.set_num_threads(num_cpus)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision(teachers.precision, device)
    loaded = load_teachers(teachers, device, precision)
    batch_size = settings.batch_size or (GPU_BATCH_SIZE if device.type == "cuda" else CPU_BATCH_SIZE)
    if teachers.compiled:
        compile_teachers(loaded, teachers, batch_size)
    return TeacherProduct(loaded, precision, batch_size, mask_median=teachers.mask_median, compiled=teachers.compiled)
