"""Recipes hold the protocol's values, changes are typed, and configurations survive their file."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from student.catalogue import MODELS
from student.recipes import (
    RECIPE_NAMES,
    RecipeError,
    RunConfig,
    TrainConfig,
    apply_overrides,
    has_effect,
    list_differences,
    read_recipe,
    read_run_config,
    write_run_config,
)


def test_the_kinetics_recipe_is_the_papers() -> None:
    recipe = read_recipe("kinetics400")
    assert (recipe.learning_rate, recipe.epochs, recipe.milestones) == (0.01, 70, (20, 40, 60))
    assert (recipe.momentum, recipe.weight_decay, recipe.batch_size) == (0.9, 1e-5, 256)
    assert (recipe.action_weight, recipe.human_weight, recipe.scene_weight) == (1.0, 0.01, 0.01)
    assert [recipe.learning_rate_at(epoch) for epoch in (0, 19, 20, 40, 60, 69)] == pytest.approx(
        [1e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-5]
    )


def test_the_transfer_recipe_is_tsns() -> None:
    recipe = read_recipe("ucf101")
    assert (recipe.learning_rate, recipe.epochs, recipe.milestones) == (0.001, 80, (30, 60))
    assert (recipe.dropout, recipe.clip_norm, recipe.weight_decay) == (0.8, 20.0, 5e-4)
    assert recipe.freeze_batchnorm


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_every_recipe_survives_its_file(name: str, tmp_path: Path) -> None:
    config = RunConfig(dataset='odd "name"', num_classes=5, init="", recipe=read_recipe(name))
    write_run_config(config, tmp_path / "config.toml")
    assert read_run_config(tmp_path / "config.toml") == config


def test_changes_are_typed() -> None:
    changes = ["learning_rate=1", "milestones=3,5", "model=kinet-fixed", "freeze_batchnorm=true"]
    changes.append("kinet.akg_relation=embedded")
    recipe = apply_overrides(TrainConfig(), changes)
    assert (recipe.learning_rate, recipe.milestones, recipe.model) == (1.0, (3, 5), "kinet-fixed")
    assert recipe.freeze_batchnorm is True
    assert recipe.kinet.akg_relation == "embedded"
    assert apply_overrides(TrainConfig(), ["milestones=[]"]).milestones == ()
    assert apply_overrides(TrainConfig(), ["scales=.75, 1", "learning_rate=.5"]).scales == (0.75, 1.0)


def test_every_change_in_the_documentation_can_be_made() -> None:
    root = Path(__file__).parents[2]
    texts = [path.read_text(encoding="utf-8") for path in (root / "README.md", *(root / "docs").glob("*.md"))]
    found = re.findall(r"--set ([a-z_.]+=[^\s`,)]+)", " ".join(texts))
    assert "min_scene_confidence=.3" in found
    for change in found:
        if change.endswith("key=value"):
            continue  # the form itself
        model = next(model for model in MODELS if has_effect(change.partition("=")[0], model))
        apply_overrides(TrainConfig(), [f"model={model}", change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning_rat=1", "did you mean learning_rate"),
        ("kinet.akg_relatoin=dot", "did you mean kinet.akg_relation"),
        ("cbi_width=full", "did you mean kinet.cbi_width"),
        ("kinet=dot", "unknown key kinet"),
        ("epochs=2.5", "epochs: expected int, found 2.5"),
        ("epochs=true", "epochs: expected int, found True"),
        ("learning_rate=fast", "learning_rate: expected float, found 'fast'"),
        ("learning_rate=nan", "learning_rate: expected more than 0"),
        ("model=kinnet", "did you mean 'kinet'"),
        ("milestones=5,3", "rising"),
        ("micro_batch=512", "at most batch_size 256"),
        ("dropout=1", "dropout"),
        ("epochs", "expected key=value"),
        ("backbone=resnet5", "did you mean 'resnet50'"),
        ("input_size=-1", "input_size: resnet50 takes 1 or more, found -1"),
    ],
)
def test_a_wrong_change_says_what_is_wrong(change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_overrides(TrainConfig(), [change])


@pytest.mark.parametrize(("backbone", "size"), [("resnet50", 224), ("bninception", 224), ("inceptionv3", 299)])
def test_an_open_input_size_is_the_backbones_own(backbone: str, size: int) -> None:
    recipe = apply_overrides(read_recipe("kinetics400"), [f"backbone={backbone}"])
    assert recipe.settle_input_size().input_size == size
    chosen = apply_overrides(recipe, ["input_size=256"])
    assert chosen.settle_input_size().input_size == 256


def test_an_input_size_that_a_backbone_cannot_take_names_one_that_it_can() -> None:
    with pytest.raises(ValueError, match=r"bninception takes a multiple of 32, .* found 112; .*--set input_size=224"):
        apply_overrides(read_recipe("small"), ["backbone=bninception"])
    with pytest.raises(ValueError, match="inceptionv3 takes 75 or more, found 74"):
        apply_overrides(TrainConfig(), ["backbone=inceptionv3", "input_size=74"])


@pytest.mark.parametrize(
    ("change", "models"),
    [
        ("kinet.akg_scaled=true", {"kinet", "kinet-fixed"}),
        ("human_weight=0.1", {"kinet"}),
        ("scene_weight=0.1", {"kinet"}),
        ("scene_temperature=2", {"kinet"}),
        ("min_scene_confidence=0.5", {"kinet"}),
        ("skip_empty_masks=true", {"kinet"}),
        ("human_teacher=h.safetensors", {"kinet-fixed"}),
        ("scene_teacher=s.safetensors", {"kinet-fixed"}),
        ("action_weight=0.1", set(MODELS)),
    ],
)
def test_a_model_refuses_changes_that_it_would_ignore(change: str, models: set[str]) -> None:
    key = change.partition("=")[0]
    for model in MODELS:
        if model in models:
            assert apply_overrides(read_recipe("small"), [change, f"model={model}"]).model == model
            continue
        with pytest.raises(ValueError, match=f"{key}: model {model} takes no notice; leave it out"):
            apply_overrides(read_recipe("small"), [change, f"model={model}"])


def test_a_recipe_may_serve_several_models(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("human_weight = 0.3\n[kinet]\nakg_scaled = true\n")
    assert apply_overrides(read_recipe(str(path)), ["model=tsn"]).model == "tsn"


def test_a_recipe_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('model = "tsn"\nepochs = 3\n[kinet]\nakg_scaled = true\n')
    recipe = read_recipe(str(path))
    assert (recipe.model, recipe.epochs, recipe.kinet.akg_scaled) == ("tsn", 3, True)
    path.write_text("epoch = 3\n")
    with pytest.raises(RecipeError, match=r"mine.toml: unknown key epoch; did you mean epochs\?"):
        read_recipe(str(path))
    path.write_text("epochs =\n")
    with pytest.raises(RecipeError, match=r"mine.toml: not TOML \(.*\); mend that line"):
        read_recipe(str(path))
    with pytest.raises(RecipeError, match=r"mine.toml: not TOML \(.*\); put back the file that the run was begun with"):
        read_run_config(path)
    with pytest.raises(RecipeError, match="did you mean kinetics400"):
        read_recipe("kinetics40")


def test_a_wrong_reading_is_named_as_it_is_given() -> None:
    with pytest.raises(ValueError, match=r"^kinet\.akg_relation: expected one of .* did you mean 'dot'"):
        apply_overrides(TrainConfig(), ["kinet.akg_relation=dott"])
    with pytest.raises(ValueError, match=r"^kinet\.cbi_places '1@res4\+1@res5' stands in res4"):
        apply_overrides(TrainConfig(), ["kinet.fork=after_res4"])


def test_differences_are_named() -> None:
    saved = RunConfig(dataset="d", num_classes=5, recipe=TrainConfig())
    options = replace(saved.recipe.kinet, akg_scaled=True)
    asked = replace(saved, fold=2, recipe=replace(saved.recipe, learning_rate=0.02, kinet=options))
    assert list_differences(saved, saved) == []
    assert list_differences(saved, asked) == [
        "fold 1 -> 2",
        "learning_rate 0.01 -> 0.02",
        "kinet.akg_scaled False -> True",
    ]
