"""What the synthetic figures wear: six kinds of outfit that together show all 19 LIP parts, in random colours."""

from dataclasses import dataclass

import numpy as np

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Outfit:
    """One kind of outfit.

    Attributes:
        torso: LIP part that covers trunk and sleeves: 5 upper-clothes, 6 dress, 7 coat, 10 jumpsuits.
        sleeve: how much of the arm it covers, in upper-arm lengths (0 none, 1 to the elbow, 2 to the wrist).
        legwear: LIP part below the waist: 6 dress, 9 pants, 10 jumpsuits, 12 skirt.
        leg_cover: how much of the leg it covers, in thigh lengths (0 to 2).
        inner: the upper-clothes (5) show in the open front of the coat.
        hat, long_hair, sunglasses, scarf, gloves, socks: worn or not.
    """

    torso: int
    sleeve: float
    legwear: int
    leg_cover: float
    inner: bool = False
    hat: bool = False
    long_hair: bool = False
    sunglasses: bool = False
    scarf: bool = False
    gloves: bool = False
    socks: bool = False


OUTFITS = (
    Outfit(torso=5, sleeve=0.7, legwear=9, leg_cover=1.9, hat=True),
    Outfit(torso=6, sleeve=0.0, legwear=6, leg_cover=0.9, long_hair=True, sunglasses=True),
    Outfit(torso=7, sleeve=1.9, legwear=9, leg_cover=1.9, inner=True, scarf=True, gloves=True),
    Outfit(torso=5, sleeve=0.0, legwear=12, leg_cover=0.8, long_hair=True, socks=True),
    Outfit(torso=10, sleeve=1.9, legwear=10, leg_cover=1.9, hat=True),
    Outfit(torso=5, sleeve=0.9, legwear=9, leg_cover=0.8, socks=True, sunglasses=True),
)

_SKINS: tuple[Rgb, ...] = ((241, 205, 176), (222, 171, 127), (177, 122, 84), (122, 79, 52), (84, 55, 40))
_HAIRS: tuple[Rgb, ...] = ((28, 22, 20), (66, 42, 28), (120, 78, 42), (196, 158, 92), (150, 148, 146), (140, 58, 30))


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of one figure, RGB 0..255."""

    skin: Rgb
    hair: Rgb
    torso: Rgb
    stripe: Rgb
    inner: Rgb
    legwear: Rgb
    hat: Rgb
    scarf: Rgb
    gloves: Rgb
    socks: Rgb
    shoes: Rgb


def draw_colours(rng: np.random.Generator) -> Colours:
    """Choose a figure's colours: natural skin and hair, anything for clothes."""
    torso = _cloth(rng)
    is_striped = rng.random() < 0.4
    return Colours(
        skin=_SKINS[rng.integers(len(_SKINS))],
        hair=_HAIRS[rng.integers(len(_HAIRS))],
        torso=torso,
        stripe=_cloth(rng) if is_striped else shade(torso, 0.9),
        inner=_cloth(rng),
        legwear=_cloth(rng),
        hat=_cloth(rng),
        scarf=_cloth(rng),
        gloves=_cloth(rng),
        socks=shade(_cloth(rng), 1.3),
        shoes=shade(_cloth(rng), 0.55),
    )


def shade(colour: Rgb, factor: float) -> Rgb:
    """Darken (below 1) or lighten (above 1) a colour."""
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue


def _cloth(rng: np.random.Generator) -> Rgb:
    """Draw a cloth's colour: grey level, then a tint of random strength."""
    channels = rng.uniform(30, 225) + rng.uniform(-1, 1, 3) * rng.uniform(10, 110)
    red, green, blue = (int(channel) for channel in channels.clip(8, 248))
    return red, green, blue
