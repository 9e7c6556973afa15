"""How a student is trained: the recipe's values, the files they stand in, and changes to them by name."""

from student.recipes.config import RunConfig, TrainConfig
from student.recipes.files import (
    RECIPE_NAMES,
    RecipeError,
    apply_overrides,
    has_effect,
    list_differences,
    read_recipe,
    read_run_config,
    write_run_config,
)

__all__ = [
    "RECIPE_NAMES",
    "RecipeError",
    "RunConfig",
    "TrainConfig",
    "apply_overrides",
    "has_effect",
    "list_differences",
    "read_recipe",
    "read_run_config",
    "write_run_config",
]
