"""Faults of data and environment, the root of the project's error tree.

KinetError                   one line on stderr, exit code 1
├── ManifestError            an annotation file or a manifest that cannot be read as what it should be
│   └── UnknownDatasetError  a data set nobody has heard of; the message gives the nearest name
└── ...                      the branches of the upper floors stand in ``pipeline.errors``

``ValueError`` stays for a caller's mistake. A message names the thing, what was expected, what was found, and the way
out.
"""


class KinetError(Exception):
    """A fault of data or environment that the user can act on; its message is one line."""


class ManifestError(KinetError):
    """An annotation file or a manifest is missing, malformed or inconsistent."""


class UnknownDatasetError(ManifestError):
    """A data set name that is neither in the catalogue nor in the workspace."""
