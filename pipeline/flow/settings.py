"""How flow is made: everything that decides its values."""

import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pipeline.errors import PlanError

if TYPE_CHECKING:
    from pipeline.flow.product import FlowProduct
    from pipeline.label.settings import LabelSettings

# Each with the values that decide its flow; see `pipeline.flow.methods`.
METHODS = {
    "tvl1": "TV-L1 of 5 warps and stop 0.01",
    "tvl1-fast": "TV-L1 of 2 warps and stop 0.05",
    "dis": "DIS fast",
}
PACKAGE = "opencv-contrib-python-headless"

_TEXT = re.compile(r"(?P<method>\S+) jpeg (?P<quality>\d+) .*")


@dataclass(frozen=True)
class FlowSettings:
    """What workers make of frames where flow is asked for; a `pipeline.label.product.Product`.

    Attributes:
        method: of `METHODS`.
        quality: of the JPEG streams, 1 to 100.
    """

    method: str = "tvl1"
    quality: int = 90

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r}; give one of {', '.join(METHODS)}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}; give 1 to 100")

    @classmethod
    def of_plan(cls, ingredients: dict[str, str]) -> "FlowSettings":
        """Return the settings that a plan was begun with.

        Raises:
            PlanError: it is no plan of flow, or of a method that this version does not know.
        """
        found = _TEXT.fullmatch(ingredients.get("flow", ""))
        if found is None:
            raise PlanError(f"a plan of flow says how it is made, found {ingredients.get('flow')!r}; restore plan.json")
        try:
            return cls(found["method"], int(found["quality"]))
        except ValueError as error:
            raise PlanError(f"plan.json of flow: {error}; restore it, or go on with the version that began") from error

    @property
    def uses_gpu(self) -> bool:
        """False: OpenCV computes flow on processors."""
        return False

    def describe(self, opencv_version: str) -> str:
        """Return what stands in plan and shards."""
        return f"{self.method} jpeg {self.quality} bound 20, {METHODS[self.method]}, OpenCV {opencv_version}"

    def load(self, settings: "LabelSettings", num_cpus: int) -> "FlowProduct":
        """Prepare OpenCV in a worker; see `pipeline.label.product.Product`."""
        # OpenCV is large; a driver does without it.
        from pipeline.flow.product import load_flow_product

        return load_flow_product(self, num_cpus)

    def digest_files(self) -> str | None:
        """Hash the settings and the version of OpenCV; None where another package than ours brings it."""
        try:
            opencv = version(PACKAGE)
        except PackageNotFoundError:
            return None
        return hashlib.sha256(self.describe(opencv).encode()).hexdigest()
