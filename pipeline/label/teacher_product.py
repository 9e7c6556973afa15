"""The teachers' labels as a product of workers."""

import torch

from pipeline.label.batches import TeacherBatches
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.teacher_loading import Teachers, choose_precision, describe_teachers, load_teachers


class TeacherProduct:
    """Teachers on their device, and the size of their batches; see `pipeline.label.product.LoadedProduct`."""

    def __init__(self, teachers: Teachers, precision: str, batch_size: int) -> None:
        self.teachers = teachers
        self.ingredients = {"precision": precision, **describe_teachers(teachers)}
        self.stage = "teachers"
        self.trial_frames = batch_size

    def make_rows(self) -> TeacherBatches:
        """Begin the batches of a shard."""
        return TeacherBatches(self.teachers, self.trial_frames)


def load_teacher_product(teachers: TeacherSettings, settings: LabelSettings, num_cpus: int) -> TeacherProduct:
    """Load the teachers where there is a GPU on it, else on so many processors (Ray would choose one).

    Raises:
        TeacherError: a factory or its file is not to be had, or what it makes does not follow the protocol.
    """
    torch.set_num_threads(num_cpus)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision(teachers.precision, device)
    return TeacherProduct(load_teachers(teachers, device, precision), precision, settings.batch_size)
