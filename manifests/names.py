"""Names of data sets, splits and runs: each becomes part of a file's name, so none may lead out of its folder."""

import re

NAME_RULE = "letters, digits, '_', '-' and '.', the first of them no '-' and no '.'"
_NAME = re.compile(r"\w[\w.-]*")
# Names of the lists that stand beside a manifest.
_RESERVED_SUFFIXES = (".missing", ".faults")


def check_name(kind: str, name: str) -> str:
    """Return the name of a data set, split or run; ValueError where it cannot stand as a file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{kind} {name!r}: expected {NAME_RULE}")
    if name.endswith(_RESERVED_SUFFIXES):
        raise ValueError(f"{kind} {name!r}: names that end in {' or '.join(_RESERVED_SUFFIXES)} are taken by lists")
    return name
