"""The rows of the paper's Tables 1-4, each as changes to a recipe."""

from dataclasses import dataclass, replace

from student.catalogue import BACKBONES
from student.options import check_choice

TABLE_NUMBERS = (1, 2, 3, 4)
PAPER_BACKBONE = "resnet50"
WIDE_BACKBONE = "resnet200"

_NO_CBI = "kinet.cbi_places=none"
_NO_AKG = "kinet.akg_relation=none"


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        key: short name, part of its runs' names.
        group: the paper's first column, or "".
        setting: the row's name.
        model: "tsn", "kinet" or "kinet-fixed".
        backbone: one of `student.catalogue.BACKBONES`.
        changes: `key=value` for the recipe, beside model and backbone.
        baseline: key of the row that its gain is counted from; "" for a baseline.
        paper_top1: Kinetics-400 top-1 of the paper in per cent; None where it has no such row.
        paper_parameters: millions, as the paper states them.
    """

    key: str
    group: str
    setting: str
    model: str
    backbone: str
    changes: tuple[str, ...] = ()
    baseline: str = ""
    paper_top1: float | None = None
    paper_parameters: float | None = None

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return all that the row changes in a recipe."""
        return (f"model={self.model}", f"backbone={self.backbone}", *self.changes)


def table_rows(number: int, backbone: str | None = None) -> list[Row]:
    """List the rows of a table of the paper, top to bottom.

    Args:
        number: 1 to 4.
        backbone: takes ResNet-50's place in Tables 1, 2 and 4; in Table 3, which compares backbones, it stands alone.

    Raises:
        ValueError: an unknown backbone, or a table that is none of the method's.
    """
    main = backbone or PAPER_BACKBONE
    check_choice("backbone", main, BACKBONES)
    match number:
        case 1:
            return _without_foreign_figures(_components(main))
        case 2:
            return _without_foreign_figures(_sizes(main))
        case 3:
            return _backbones(backbone)
        case 4:
            return _without_foreign_figures(_fixed_branches(main))
    raise ValueError(f"table: expected one of 1, 2, 3, 4, found {number}")


def _without_foreign_figures(rows: list[Row]) -> list[Row]:
    """Drop the paper's figures, which are of ResNets, from rows of other backbones."""
    return [
        row if row.backbone in (PAPER_BACKBONE, WIDE_BACKBONE) else replace(row, paper_top1=None, paper_parameters=None)
        for row in rows
    ]


def _components(backbone: str) -> list[Row]:
    """Table 1: each component alone, then all."""

    def kinet(key: str, group: str, setting: str, paper_top1: float, *changes: str) -> Row:
        return Row(key, group, setting, "kinet", backbone, changes, baseline="baseline", paper_top1=paper_top1)

    multitask, cbi, akg = "KD+Multitask", "CBI+Multitask", "AKG+Multitask"
    name = BACKBONES[backbone].title
    return [
        Row("baseline", "Baseline", f"TSN-{name}", "tsn", backbone, paper_top1=69.5),
        kinet("human", multitask, "Baseline+human", 70.3, _NO_CBI, _NO_AKG, "kinet.auxiliary=human"),
        kinet("scene", multitask, "Baseline+scene", 70.0, _NO_CBI, _NO_AKG, "kinet.auxiliary=scene"),
        kinet("both", multitask, "Baseline+human+scene", 70.6, _NO_CBI, _NO_AKG),
        kinet("cbi-1", cbi, "1 CBI@res4", 71.1, _NO_AKG, "kinet.cbi_places=1@res4"),
        kinet("cbi-2", cbi, "2 CBI@res4", 71.2, _NO_AKG, "kinet.cbi_places=2@res4"),
        kinet("cbi-1-1", cbi, "1 CBI@res4+1 CBI@res5", 71.8, _NO_AKG, "kinet.cbi_places=1@res4+1@res5"),
        kinet("cbi-2-1", cbi, "2 CBI@res4+1 CBI@res5", 71.5, _NO_AKG, "kinet.cbi_places=2@res4+1@res5"),
        kinet("akg-dot", akg, "AKG + dot product", 71.7, _NO_CBI, "kinet.akg_relation=dot"),
        kinet("akg-embedded", akg, "AKG + E-dot product", 71.6, _NO_CBI, "kinet.akg_relation=embedded"),
        kinet("akg-concatenation", akg, "AKG + concatenation", 71.2, _NO_CBI, "kinet.akg_relation=concatenation"),
        kinet("kinet", "KINet", f"KINet-{name}", 72.4),
    ]


def _sizes(backbone: str) -> list[Row]:
    """Table 2, and KINet with CBI on the blocks' full outputs, the other reading of its size."""
    name = BACKBONES[backbone].title
    return [
        Row("tsn", "", f"TSN-{name}", "tsn", backbone, paper_top1=69.5, paper_parameters=24.4),
        Row("tsn-wide", "", "TSN-ResNet200", "tsn", WIDE_BACKBONE, (), "tsn", paper_top1=70.7, paper_parameters=64.5),
        Row("kinet", "", f"KINet-{name}", "kinet", backbone, (), "tsn", paper_top1=72.4, paper_parameters=56.9),
        Row(
            "kinet-full",
            "other reading",
            f"KINet-{name}, CBI at full width",
            "kinet",
            backbone,
            ("kinet.cbi_width=full",),
            "tsn",
            paper_parameters=56.9,
        ),
    ]


def _backbones(only: str | None) -> list[Row]:
    """Table 3: TSN and KINet on each backbone; a backbone that the paper does not have has no figure beside it."""
    figures = {"resnet50": (69.5, 72.4), "bninception": (69.1, 71.8), "inceptionv3": (72.5, 74.1)}
    rows = []
    for backbone in figures if only is None else (only,):
        name = BACKBONES[backbone].title
        tsn_top1, kinet_top1 = figures.get(backbone, (None, None))
        tsn = f"tsn-{backbone}"
        rows.append(Row(tsn, name, f"TSN-{name}", "tsn", backbone, paper_top1=tsn_top1))
        rows.append(Row(f"kinet-{backbone}", name, f"KINet-{name}", "kinet", backbone, (), tsn, paper_top1=kinet_top1))
    return rows


def _fixed_branches(backbone: str) -> list[Row]:
    """Table 4: the teachers' own features in place of the learned branches."""
    name = BACKBONES[backbone].title
    return [
        Row("baseline", "", f"Baseline TSN-{name}", "tsn", backbone, paper_top1=69.5),
        Row("fixed", "", f"Fixed auxiliary branches KINet-{name}", "kinet-fixed", backbone, (), "baseline", 70.5),
        Row("learnable", "", f"Learnable auxiliary branches KINet-{name}", "kinet", backbone, (), "baseline", 72.4),
    ]
