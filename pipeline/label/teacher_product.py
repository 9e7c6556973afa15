"""The teachers' labels as a product of workers."""

import torch

from pipeline.label.batches import TeacherBatches
from pipeline.label.mask_median import MedianMasks
from pipeline.label.product import RowMaker
from pipeline.label.settings import MASK_MEDIAN, LabelSettings, TeacherSettings
from pipeline.label.teacher_loading import Teachers, choose_precision, describe_teachers, load_teachers


class TeacherProduct:
    """Teachers on their device, and the size of their batches; see `pipeline.label.product.LoadedProduct`.

    Args:
        teachers: loaded.
        precision: in which they compute.
        batch_size: frames that go through them together.
        mask_median: frames over which masks are smoothed; 1 leaves them as they are.
    """

    def __init__(self, teachers: Teachers, precision: str, batch_size: int, mask_median: int = 1) -> None:
        self.teachers = teachers
        self._mask_median = mask_median
        self.ingredients = {"precision": precision, **describe_teachers(teachers)}
        if mask_median > 1:  # without it labels are what they were before there was one
            self.ingredients[MASK_MEDIAN] = str(mask_median)
        self.stage = "teachers"
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
        TeacherError: a factory or its file is not to be had, or what it makes does not follow the protocol.
    """
    torch.set_num_threads(num_cpus)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision(teachers.precision, device)
    loaded = load_teachers(teachers, device, precision)
    return TeacherProduct(loaded, precision, settings.batch_size, teachers.mask_median)
