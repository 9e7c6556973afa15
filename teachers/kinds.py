"""The two kinds of teacher; light, so that the command line can offer them without loading a network."""

from enum import StrEnum


class Kind(StrEnum):
    """What a teacher teaches."""

    HUMAN = "human"
    SCENE = "scene"
