"""What an in-order decode met, and whether it was the whole video."""

from array import array
from dataclasses import dataclass, field

from pipeline.errors import Reason
from pipeline.video.second_opinion import NoCount, SecondCount

# A container with a duration but no frame count (Matroska, fragmented MP4) is cut short when this much is missing.
MISSING_TAIL_SEC = 0.5
MISSING_TAIL_SHARE = 0.05
NO_PTS = -(2**63)


@dataclass
class DecodeReport:
    """What an in-order decode met; complete when the iteration has ended.

    Attributes:
        num_frames: frames yielded so far.
        num_corrupt: those among them that are damaged.
        declared_frames: frames the container's header states; None where it states none.
        frame_pts: presentation times in stream time base, in the order yielded; `NO_PTS` where the stream has none.
        num_indexed: packets that the container's index lists; 0 or too few where it has none.
        keyframes: indices of frames that a decoder can start from.
        num_packets: packets of the video stream that hold data.
        num_discarded: those among them that an edit list hides.
        packet_pts: presentation times of those that it does not hide, in the order of the file.
        num_undecodable, last_error: packets that do not decode, and what the decoder said of the last one.
        num_pictureless: packets that should have given a picture and did not, those that do not decode among them.
        read_failed: reading ended in an error of the system; the disk's, unless libav made it up.
        fault: the typed reason and message why this is not the whole video, or None.
        note: for a whole video, what is odd about it; else None.
    """

    num_frames: int = 0
    num_corrupt: int = 0
    declared_frames: int | None = None
    num_indexed: int = 0
    frame_pts: "array[int]" = field(default_factory=lambda: array("q"))
    keyframes: list[int] = field(default_factory=list)
    num_packets: int = 0
    num_discarded: int = 0
    packet_pts: "array[int]" = field(default_factory=lambda: array("q"))
    num_undecodable: int = 0
    last_error: str = ""
    num_pictureless: int = 0
    read_failed: bool = False
    fault: tuple[Reason, str] | None = None
    note: str | None = None

    @property
    def timestamps_index_frames(self) -> bool:
        """Whether the container's timestamps alone say which frame is the i-th, so that seeking can be exact."""
        wanted = array("q", sorted(self.packet_pts))
        if self.frame_pts != wanted or NO_PTS in wanted:
            return False
        return all(wanted[i] < wanted[i + 1] for i in range(len(wanted) - 1))

    @property
    def count_is_explained(self) -> bool:
        """Whether the frames are as many as the packets, and as the header says, less those that an edit list hides."""
        declared = self.num_packets if self.declared_frames is None else self.declared_frames
        return self.num_frames == self.num_packets - self.num_discarded == declared - self.num_discarded


def find_fault(report: DecodeReport, duration_sec: float | None, missing_sec: float) -> tuple[Reason, str] | None:
    """Say why what was decoded is not the whole video; None where nothing shows that it isn't.

    Args:
        report: of a finished decode.
        duration_sec: what the header promises of the whole file; None where it is silent.
        missing_sec: how much of it lies behind the last packet of any stream.
    """
    declared, indexed, found = report.declared_frames, report.num_indexed, report.num_packets
    if declared is not None:
        if found < indexed:
            return Reason.TRUNCATED, f"the index lists {indexed} frames, the file holds {found}"
        # A complete index outweighs the header: an edit list can hide the end of a track, and an AVI counts time slots,
        # of which some are empty.
        if found < declared and found != indexed:
            return Reason.TRUNCATED, f"the header declares {declared} frames, the file holds {found}"
    elif duration_sec is not None and missing_sec > max(MISSING_TAIL_SEC, MISSING_TAIL_SHARE * duration_sec):
        return Reason.TRUNCATED, f"the last {missing_sec:.1f} s that the header declares are missing"
    if report.num_undecodable:
        return Reason.FRAME_COUNT, f"{report.num_undecodable} of {found} packets do not decode: {report.last_error}"
    if report.num_pictureless:
        # A second decoder is no witness here: it loses the same pictures.
        return Reason.FRAME_COUNT, f"{report.num_pictureless} of {found} packets give no picture"
    if report.num_corrupt:
        return Reason.CORRUPT, f"{report.num_corrupt} of {report.num_frames} frames are damaged"
    return None


def settle_count(report: DecodeReport, second: SecondCount | NoCount) -> tuple[tuple[Reason, str] | None, str | None]:
    """Weigh a second count where decode and container disagree: give (fault, None) or (None, note)."""
    said = f"{report.num_frames} frames decode, {report.num_packets} packets are in the file"
    if report.declared_frames is not None:
        said += f", the header declares {report.declared_frames}"
    if isinstance(second, NoCount):
        if second.known:
            return (Reason.FRAME_COUNT, f"{said}; {second.message}"), None
        return (Reason.COUNT_UNKNOWN, f"{said}; {second.message}, so which is right is not known"), None
    if second.distinct <= report.num_frames <= second.total:
        return None, f"{said}; the second decoder bears the decode out"
    return (Reason.FRAME_COUNT, f"{said}; the second decoder gives {second.distinct}"), None
