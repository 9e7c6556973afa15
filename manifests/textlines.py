"""Annotation files as lines of text."""

from collections.abc import Iterator
from pathlib import Path

from manifests.errors import ManifestError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and stripped text of every line that isn't blank; CRLF and LF alike.

    Raises:
        ManifestError: the file is missing, cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(f"annotation file {path} does not exist; give the right one with --annotations") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"annotation file {path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise ManifestError(f"annotation file {path}: cannot be read: {error.strerror or error}") from None
    # Not str.splitlines: it also breaks at characters such as U+2028, which file names may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if stripped := line.strip():
            yield number, stripped
