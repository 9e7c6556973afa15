"""The presets are the paper's tables, and every row is a model of the size that it should have."""

import pytest

from pipeline.workspace import Workspace
from student.ablation.request import AblationRequest, row_recipe
from student.ablation.running import measure_table
from student.ablation.tables import TABLE_NUMBERS, table_rows
from student.catalogue import BACKBONES, MODELS


def test_table_1_has_the_papers_rows_and_figures() -> None:
    rows = [(row.group, row.setting, row.paper_top1) for row in table_rows(1)]
    assert rows == [
        ("Baseline", "TSN-ResNet50", 69.5),
        ("KD+Multitask", "Baseline+human", 70.3),
        ("KD+Multitask", "Baseline+scene", 70.0),
        ("KD+Multitask", "Baseline+human+scene", 70.6),
        ("CBI+Multitask", "1 CBI@res4", 71.1),
        ("CBI+Multitask", "2 CBI@res4", 71.2),
        ("CBI+Multitask", "1 CBI@res4+1 CBI@res5", 71.8),
        ("CBI+Multitask", "2 CBI@res4+1 CBI@res5", 71.5),
        ("AKG+Multitask", "AKG + dot product", 71.7),
        ("AKG+Multitask", "AKG + E-dot product", 71.6),
        ("AKG+Multitask", "AKG + concatenation", 71.2),
        ("KINet", "KINet-ResNet50", 72.4),
    ]


def test_table_3_has_a_pair_for_each_backbone() -> None:
    figures = {row.setting: (row.paper_top1, row.baseline) for row in table_rows(3)}
    assert figures == {
        "TSN-ResNet50": (69.5, ""),
        "KINet-ResNet50": (72.4, "tsn-resnet50"),
        "TSN-BN-Inception": (69.1, ""),
        "KINet-BN-Inception": (71.8, "tsn-bninception"),
        "TSN-Inception V3": (72.5, ""),
        "KINet-Inception V3": (74.1, "tsn-inceptionv3"),
    }
    assert [row.backbone for row in table_rows(3, "resnet18")] == ["resnet18", "resnet18"]


@pytest.mark.parametrize("number", TABLE_NUMBERS)
@pytest.mark.parametrize("backbone", [None, "squeezenet1_1"])
def test_rows_can_be_told_apart_and_built(number: int, backbone: str | None) -> None:
    rows = table_rows(number, backbone)
    keys = [row.key for row in rows]
    assert len(set(keys)) == len({row.overrides for row in rows}) == len(rows)
    assert all(row.model in MODELS and row.backbone in BACKBONES for row in rows)
    assert all(row.baseline == "" or row.baseline in keys for row in rows)
    if backbone is not None:
        assert all(row.paper_top1 is None for row in rows if row.backbone == backbone)


def _sizes(number: int, backbone: str | None = None) -> dict[str, float]:
    """Millions of parameters by row."""
    report = measure_table(Workspace.locate("/nonexistent"), AblationRequest(table=number, backbone=backbone))
    return {result.row.key: round(result.size.parameters / 1e6, 1) for result in report.results}


def test_table_2_has_the_sizes_of_the_protocol() -> None:
    assert _sizes(2) == {"tsn": 24.3, "tsn-wide": 63.4, "kinet": 61.7, "kinet-full": 76.4}


def test_components_cost_what_they_add() -> None:
    """Multi-task rows are the baseline at inference; a CBI costs its own blocks; a graph needs whole branches."""
    sizes = _sizes(1, "resnet18")
    assert sizes["human"] == sizes["scene"] == sizes["both"] == sizes["baseline"]
    assert sizes["baseline"] < sizes["cbi-1"] < sizes["cbi-2"] < sizes["cbi-1-1"] < sizes["cbi-2-1"]
    assert sizes["akg-dot"] < sizes["akg-embedded"] <= sizes["akg-concatenation"]
    assert sizes["kinet"] > max(sizes["akg-dot"], sizes["cbi-1-1"])


def test_fixed_teachers_are_counted_with_the_model() -> None:
    """PSPNet-DenseNet121's stages (7.0 M) and ResNet-152 without its classifier (58.1 M) come with the fixed row.

    ResNet-50 has 4.09 G multiply-adds at 224 x 224 (its authors' count), so three frames have 24.5 GFLOPs.
    """
    baseline, fixed, learnable = measure_table(Workspace.locate("/nonexistent"), AblationRequest(table=4)).results
    assert fixed.size.parameters > baseline.size.parameters + 65e6
    assert learnable.size.parameters == 61_672_656
    assert baseline.size.flops / 1e9 == pytest.approx(3 * 2 * 4.09, rel=0.01)


def test_inceptionv3_is_given_its_own_input_size_unless_the_user_chooses() -> None:
    workspace = Workspace.locate("/nonexistent")

    def input_size(*overrides: str) -> int:
        row = table_rows(3, "inceptionv3")[0]
        return row_recipe(workspace, AblationRequest(table=3, overrides=overrides), row).input_size

    assert input_size() == 299
    assert input_size("input_size=224") == 224
    assert input_size("input_size=160") == 160


def test_readings_change_the_rows_of_kinet_alone() -> None:
    request = AblationRequest(table=2, overrides=("kinet.akg_scaled=true",))
    workspace = Workspace.locate("/nonexistent")
    found = {row.key: row_recipe(workspace, request, row).kinet.akg_scaled for row in table_rows(2)}
    assert found == {"tsn": False, "tsn-wide": False, "kinet": True, "kinet-full": True}


@pytest.mark.parametrize(
    ("number", "backbone", "message"), [(5, None, "one of 1, 2, 3, 4"), (1, "resnet5", "resnet50")]
)
def test_what_there_is_not_is_refused(number: int, backbone: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table_rows(number, backbone)
