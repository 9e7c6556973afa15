"""Which frames carry damage: those whose data the decoder complained about, and those predicted from them."""

from bisect import bisect_right

import av

# What libav says, at a level above errors, when it paints over missing parts of a picture.
CONCEALED = "concealing "
# Errors of bookkeeping that leave the picture as it is: references released twice, or more of them than the profile
# allows. Cut and spliced H.264 is full of them.
HARMLESS = ("mmco: ", "number of reference frames")


def tells_of_damage(level: int, message: str) -> bool:
    """Say whether a line that libav logged while decoding means that a picture is damaged."""
    if level > av.logging.ERROR:
        return message.startswith(CONCEALED)
    return not message.startswith(HARMLESS)


class DamageTrace:
    """Follows damage from packet to packet, in the order of decoding.

    A damaged packet spoils everything up to the next keyframe, and the pictures that are shown before that keyframe but
    decoded after it (an open group of pictures), since they may be predicted from what was spoiled.
    """

    def __init__(self) -> None:
        # Groups of pictures in order: the number of the first packet, its presentation time, the first damaged packet.
        # What comes before the first keyframe is a group of its own.
        self._starts = [0]
        self._start_pts: list[int | None] = [None]
        self._first_damaged: list[int | None] = [None]

    def begin_group(self, number: int, pts: int | None) -> None:
        """Note that packet `number` is a keyframe."""
        if number > 0:
            self._starts.append(number)
            self._start_pts.append(pts)
            self._first_damaged.append(None)

    def add(self, number: int) -> None:
        """Note that packet `number` is damaged."""
        group = bisect_right(self._starts, number) - 1
        first = self._first_damaged[group]
        self._first_damaged[group] = number if first is None else min(first, number)

    def reaches(self, number: int, pts: int | None) -> bool:
        """Say whether the frame that came of packet `number` is damaged, as far as is known by now."""
        group = bisect_right(self._starts, number) - 1
        first = self._first_damaged[group]
        if first is not None and number >= first:
            return True
        start_pts = self._start_pts[group]
        leads = group > 0 and pts is not None and start_pts is not None and pts < start_pts
        return leads and self._first_damaged[group - 1] is not None
