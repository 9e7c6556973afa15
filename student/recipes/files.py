"""Recipes as TOML files, changes to them by `key=value`, and the resolved configuration of a run."""

import contextlib
import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pipeline.errors import KinetError
from pipeline.files import write_atomically
from student.options import KINetOptions
from student.recipes.config import RunConfig, TrainConfig

_RECIPE_DIR = Path(__file__).parent
RECIPE_NAMES = tuple(sorted(path.stem for path in _RECIPE_DIR.glob("*.toml")))

# The one nested part of a recipe: a TOML table, and a prefix in --set.
_KINET_TABLE = "kinet"

# What only the auxiliary losses look at, and only a model whose auxiliary branches are the teachers themselves.
_OF_LABELS = ("human_weight", "scene_weight", "scene_temperature", "min_scene_confidence", "skip_empty_masks")
_OF_FIXED_TEACHERS = ("human_teacher", "scene_teacher")


class RecipeError(KinetError):
    """A recipe file or a run's config.toml is missing, malformed, or holds a wrong value."""


def read_recipe(name_or_path: str) -> TrainConfig:
    """Read a recipe by its name (`RECIPE_NAMES`) or from a TOML file; what the file leaves out has its default.

    Raises:
        RecipeError: neither a known name nor a file, not TOML, an unknown key or a wrong value.
    """
    path = _RECIPE_DIR / f"{name_or_path}.toml" if name_or_path in RECIPE_NAMES else Path(name_or_path)
    if not path.is_file():
        hint = _nearest(name_or_path, RECIPE_NAMES)
        known = ", ".join(RECIPE_NAMES)
        raise RecipeError(f"recipe {name_or_path}: neither a file nor one of {known}{hint}")
    try:
        return recipe_from_table(_read_toml(path, "mend that line"))
    except ValueError as error:
        raise RecipeError(f"recipe {path}: {error}") from error


def apply_overrides(recipe: TrainConfig, assignments: Iterable[str]) -> TrainConfig:
    """Change values of a recipe by `key=value`, the readings of KINet by `kinet.key=value`.

    Values are written as in TOML; text needs no quotes, and a list no brackets (`milestones=3,5`).

    Raises:
        ValueError: not of this form, an unknown key (the nearest is named), a wrong type or value, or a key that the
            model takes no notice of.
    """
    table = _recipe_to_table(recipe)
    named = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"{assignment!r}: expected key=value")
        prefix, dot, inner_key = key.strip().partition(".")
        nested = bool(dot) and prefix == _KINET_TABLE
        owner = KINetOptions if nested else TrainConfig
        name = inner_key if nested else key.strip()
        _check_key(name, owner, prefix="kinet." if nested else "")
        named.append(key.strip())
        (table[_KINET_TABLE] if nested else table)[name] = _parse_value(text.strip(), get_type_hints(owner)[name])
    changed = recipe_from_table(table)
    idle = [key for key in named if not has_effect(key, changed.model)]
    if idle:
        raise ValueError(f"{', '.join(idle)}: model {changed.model} takes no notice; leave it out")
    return changed


def has_effect(key: str, model: str) -> bool:
    """Tell whether a model takes notice of a key of `--set`."""
    if key.startswith(f"{_KINET_TABLE}."):
        return model != "tsn"
    return (key not in _OF_LABELS or model == "kinet") and (key not in _OF_FIXED_TEACHERS or model == "kinet-fixed")


def recipe_from_table(table: Mapping[str, Any]) -> TrainConfig:
    """Make a recipe from parsed TOML; ValueError names what is wrong."""
    plain = {key: value for key, value in table.items() if key != _KINET_TABLE}
    kinet = table.get(_KINET_TABLE, {})
    if not isinstance(kinet, Mapping):
        raise ValueError(f"{_KINET_TABLE}: expected a table, found {kinet!r}")
    values = _typed(kinet, KINetOptions, prefix="kinet.")
    try:
        options = KINetOptions(**values)
    except ValueError as error:  # its messages begin with an option's name
        raise ValueError(f"{_KINET_TABLE}.{error}") from error
    return TrainConfig(**_typed(plain, TrainConfig), kinet=options)


def write_run_config(config: RunConfig, path: Path) -> None:
    """Write a run's resolved configuration: every value, also those left at their default."""
    run = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "recipe"}
    recipe = _recipe_to_table(config.recipe)
    kinet = recipe.pop(_KINET_TABLE)
    tables = {"run": run, "recipe": recipe, f"recipe.{_KINET_TABLE}": kinet}
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in t.items())]) for name, t in tables.items()
    ]
    write_atomically(path, "\n\n".join(blocks) + "\n")


def read_run_config(path: Path) -> RunConfig:
    """Read what `write_run_config` wrote.

    Raises:
        RecipeError: missing, malformed, or of another version of the program.
    """
    table = _read_toml(path, "put back the file that the run was begun with, or start a new --run")
    try:
        return RunConfig(**_typed(table.get("run", {}), RunConfig), recipe=recipe_from_table(table.get("recipe", {})))
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{path}: {error}") from error


def list_differences(saved: RunConfig, asked: RunConfig) -> list[str]:
    """Name every value in which two configurations differ, as "learning_rate 0.01 -> 0.02"."""
    flat_saved, flat_asked = _flatten(dataclasses.asdict(saved)), _flatten(dataclasses.asdict(asked))
    return [f"{key} {value} -> {flat_asked[key]}" for key, value in flat_saved.items() if value != flat_asked[key]]


def _flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            prefix = f"{key}." if key == _KINET_TABLE else ""
            flat.update({f"{prefix}{inner}": inner_value for inner, inner_value in _flatten(value).items()})
        else:
            flat[key] = value
    return flat


def _recipe_to_table(recipe: TrainConfig) -> dict[str, Any]:
    return dataclasses.asdict(recipe)


def _read_toml(path: Path, way_out: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML ({error}); {way_out}") from error


def _typed(table: Mapping[str, Any], owner: type, prefix: str = "") -> dict[str, Any]:
    """Check names and types of a table against a dataclass."""
    hints = get_type_hints(owner)
    for key in table:
        _check_key(key, owner, prefix)
    return {key: _convert(f"{prefix}{key}", value, hints[key]) for key, value in table.items()}


def _check_key(key: str, owner: type, prefix: str) -> None:
    names = [field.name for field in dataclasses.fields(owner) if field.name not in (_KINET_TABLE, "recipe")]
    if key not in names:
        inner = [field.name for field in dataclasses.fields(KINetOptions)]
        hint = f"; did you mean {_KINET_TABLE}.{key}?" if not prefix and key in inner else _nearest(key, names, prefix)
        raise ValueError(f"unknown key {prefix}{key}{hint}")


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


def _convert(key: str, value: Any, hint: Any) -> Any:
    """Take a TOML value as the type a field has; whole numbers pass for floats, nothing else for another type."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{key}: expected a list, found {value!r}")
        return tuple(_convert(key, item, get_args(hint)[0]) for item in value)
    kind = hint if isinstance(hint, type) else str  # a Literal is text; its owner checks the choice
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{key}: expected {kind.__name__}, found {value!r}")
    return value


def _parse_value(text: str, hint: Any) -> Any:
    """Parse the text after `=`; what is not TOML is text. Numbers may be written as `.3`, which TOML does not know."""
    if get_origin(hint) is tuple:
        text = text.removeprefix("[").removesuffix("]").strip().removesuffix(",")
        return [_parse_value(item.strip(), get_args(hint)[0]) for item in text.split(",")] if text else []
    if hint is float:
        with contextlib.suppress(ValueError):
            return float(text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value)
