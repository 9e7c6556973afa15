"""What there is to label and learn from: data sets, readers of their annotations, and the manifest file."""

from manifests.manifest import read_manifest, write_manifest
from manifests.record import VideoRecord

__all__ = ["VideoRecord", "read_manifest", "write_manifest"]
