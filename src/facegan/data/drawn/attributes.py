"""The attributes of drawn faces: each is a pure function of (seed, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 throughout
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

_HAIR_STYLES = "bald 4, buzz 6, short 14, quiff 10, fringe 10, bob 11, long 11, wavy 9, curly 11, bun 8, bunches 6"
_HAIR_COLOURS = "black 14, espresso 16, chestnut 18, auburn 10, ginger 11, blond 15, platinum 5, grey 6, pink 3, teal 2"
_DARK_SKIN_HAIR = (46, 28, 10, 4, 1, 2, 1, 5, 2, 1)
_SHORT_STYLES = ("bald", "buzz", "short", "quiff")
EARS_SHOW = (*_SHORT_STYLES, "bun", "bunches")  # styles that leave the ears free


def _words(text: str) -> dict[str, Any]:
    """Describe a category: its words in the order of their codes, each with its weight (default: equal)."""
    pairs = [each.rpartition(" ") if each[-1].isdigit() else (each, "", "1") for each in text.split(", ")]
    weights = tuple(int(weight) for _, _, weight in pairs)
    return {"words": tuple(word for word, _, _ in pairs), "weights": weights}


def _between(low: float, high: float, *, triangular: bool = False) -> dict[str, Any]:
    """Describe a number: uniformly or triangularly distributed from low to high."""
    return {"range": (low, high), "triangular": triangular}


@dataclass(frozen=True)
class Attributes:
    """The attributes of N drawn faces, with their distributions: one array of length N each.

    Categories are codes: the position of a word. Lengths are fractions of their usual size, unless said otherwise.
    Where other attributes matter, `draw_attributes` draws or changes them.
    """

    background: Codes = field(metadata=_words("cream, peach, mint, sky, lavender, butter, rose, sage, denim"))
    backdrop: Codes = field(metadata=_words("plain 3, gradient 4, disc 3"))
    skin: Codes = field(metadata=_words("porcelain, fair, peach, beige, honey, tan, brown, umber, deep"))
    skin_light: Floats = field(metadata=_between(-1, 1))  # lightness added to the tone
    face_shape: Codes = field(metadata=_words("oval 30, round 22, square 18, heart 18, long 12"))
    hair_style: Codes = field(metadata=_words(_HAIR_STYLES))
    hair_volume: Floats = field(metadata=_between(0.96, 1.05))  # size of the hair around the head
    hair_colour: Codes = field(metadata=_words(_HAIR_COLOURS))  # also of brows and beard
    part: Floats  # the side the hair falls to, -1 (left) or 1 (right)
    eye_colour: Codes = field(metadata=_words("brown 38, hazel 16, green 16, blue 20, grey 10"))
    eye_size: Floats = field(metadata=_between(0.9, 1.12))
    eye_spacing: Floats = field(metadata=_between(0.93, 1.08))
    eye_openness: Floats = field(metadata=_between(0.78, 1))  # how far the lids are open
    gaze: Floats = field(metadata=_between(-1, 1, triangular=True))  # left to right
    lashes: Flags
    brow_thickness: Floats = field(metadata=_between(0.7, 1.4))
    brow_tilt: Floats = field(metadata=_between(-1, 1, triangular=True))  # worried to stern
    nose: Codes = field(metadata=_words("button 4, straight 3, wide 3"))
    nose_size: Floats = field(metadata=_between(0.85, 1.2))
    mouth: Codes = field(metadata=_words("frown 7, neutral 21, smile 40, open smile 32"))
    smile: Floats  # how far the corners of the mouth rise, -0.6 to 1
    mouth_width: Floats = field(metadata=_between(0.85, 1.15))
    lipstick: Flags
    blush: Floats = field(metadata=_between(0, 1))  # redness of the cheeks
    freckles: Flags
    glasses_style: Codes = field(metadata=_words("none 74, round 11, square 9, half-rim 6"))
    facial_hair: Codes = field(metadata=_words("none 46, stubble 14, moustache 10, goatee 10, beard 20"))
    earrings: Flags  # only where the hair leaves the ears free
    top: Codes = field(metadata=_words("crew, v-neck, striped, shirt"))  # the garment's cut
    top_colour: Codes = field(metadata=_words("coral, mustard, teal, navy, plum, forest, white, brick"))
    light: Floats  # where it comes from, -1 (left) to 1 (right)
    shift_x: Floats = field(metadata=_between(-0.04, 0.04, triangular=True))  # to the right, as a fraction of the frame
    shift_y: Floats = field(metadata=_between(-0.03, 0.03, triangular=True))  # down, as a fraction of the frame
    scale: Floats = field(metadata=_between(0.97, 1.08))  # size of the head
    tilt: Floats = field(metadata=_between(-7, 7, triangular=True))  # of the head to the right, in degrees
    turn: Floats = field(metadata=_between(-1, 1, triangular=True))  # of the head, left to right

    def __len__(self) -> int:
        return len(self.skin)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Attributes:
        """Return the attributes of the chosen faces only."""
        return Attributes(**{name: getattr(self, name)[chosen] for name in _DISTRIBUTIONS})

    def columns(self) -> dict[str, list[str | int | float | bool]]:
        """Return one readable list per attribute: words for categories, and whether glasses are worn at all."""
        table: dict[str, list[str | int | float | bool]] = {}
        for name in _DISTRIBUTIONS:
            values = getattr(self, name)
            if words := CATEGORIES.get(name):
                table[name] = [words[code] for code in values.tolist()]
            else:
                table[name] = (
                    values.tolist() if values.dtype == bool else [round(value, 3) for value in values.tolist()]
                )
        table["glasses"] = [style != "none" for style in table["glasses_style"]]
        return table


_DISTRIBUTIONS = {each.name: each.metadata for each in fields(Attributes)}
# A category's code is its position in its tuple; the renderer's tables have the same order.
CATEGORIES: dict[str, tuple[str, ...]] = {
    name: each["words"] for name, each in _DISTRIBUTIONS.items() if "words" in each
}


def code(attribute: str, word: str) -> int:
    """Return the code of a category's word."""
    return CATEGORIES[attribute].index(word)


def is_any_of(codes: Codes, attribute: str, words: Collection[str]) -> Flags:
    """Return whether each code is that of one of these words."""
    return np.array([word in words for word in CATEGORIES[attribute]])[codes]


def draw_attributes(seed: int, indices: Sequence[int] | NDArray[np.int64]) -> Attributes:
    """Draw the attributes of the faces with these indices (each at least 0); each depends on (seed, index) alone."""
    dice = _Dice(seed, np.asarray(indices, dtype=np.int64))
    drawn: dict[str, Any] = {name: dice.draw(name) for name, each in _DISTRIBUTIONS.items() if each}
    dark = drawn["skin"] >= code("skin", "brown")
    short = is_any_of(drawn["hair_style"], "hair_style", _SHORT_STYLES)
    drawn["hair_colour"] = np.where(dark, dice.category("hair_colour", _DARK_SKIN_HAIR), drawn["hair_colour"])
    drawn["facial_hair"] = np.where(short, drawn["facial_hair"], dice.category("facial_hair", (96, 1, 1, 1, 1)))
    brown = dark & dice.chance("eye_colour_dark", 0.8)
    drawn["eye_colour"] = np.where(brown, code("eye_colour", "brown"), drawn["eye_colour"])
    shaven = drawn["facial_hair"] == 0
    ears_show = is_any_of(drawn["hair_style"], "hair_style", EARS_SHOW)
    # The corners of the mouth, per expression: lowest and highest.
    low, high = np.array([[-0.6, -0.12, 0.35, 0.45], [-0.3, 0.15, 1.0, 1.0]])[:, drawn["mouth"]]
    return Attributes(
        **drawn,
        part=dice.side("part"),
        lashes=dice.chance("lashes", np.where(short, 0.12, 0.75)) & shaven,
        smile=dice.between(dice.uniform("smile"), low, high),
        lipstick=dice.chance("lipstick", np.where(short, 0.06, 0.55)) & shaven,
        freckles=dice.chance("freckles", 0.16),
        earrings=dice.chance("earrings", np.where(short, 0.1, 0.5)) & ears_show,
        light=dice.between(dice.uniform("light"), 0.45, 1) * dice.side("light_side"),
    )


class _Dice:
    """Named random draws for a list of indices: a draw depends on (seed, index, name) alone.

    A counter-based generator: the SplitMix64 finalizer over a Weyl sequence that starts at a key hashed from
    (seed, name). With a sequential generator face i would depend on the faces drawn before it.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014, section 3, fig. 13-16.
    """

    def __init__(self, seed: int, indices: NDArray[np.int64]) -> None:
        self._seed = seed
        self._indices = indices.astype(np.uint64)

    def uniform(self, name: str) -> NDArray[np.float64]:
        """Return one float64 in [0, 1) per index."""
        digest = hashlib.sha256(f"{self._seed}/{name}".encode()).digest()
        bits = (self._indices + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        bits += np.uint64(int.from_bytes(digest[:8], "little"))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits ^= bits >> np.uint64(shift)
            bits *= np.uint64(factor)
        bits ^= bits >> np.uint64(31)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def chance(self, name: str, probability: float | NDArray[np.float64]) -> Flags:
        """Return True with this probability."""
        return self.uniform(name) < probability

    def side(self, name: str) -> Floats:
        """Return 1 or -1."""
        return np.where(self.chance(name, 0.5), np.float32(1), np.float32(-1))

    def between(
        self, share: NDArray[np.float64], low: float | NDArray[np.float64], high: float | NDArray[np.float64]
    ) -> Floats:
        """Return low + share (high - low), in thousandths, so that the reported value is the one drawn."""
        return np.round(low + (high - low) * share, 3).astype(np.float32)

    def category(self, name: str, weights: Sequence[float]) -> Codes:
        """Return codes of the category of this name, distributed by the weights."""
        edges = np.cumsum(weights) / np.sum(weights)
        edges[-1] = 1.0  # rounding must not leave a gap below 1
        return np.searchsorted(edges, self.uniform(name), side="right").astype(np.int64)

    def draw(self, name: str) -> Floats | Codes:
        """Return values of an attribute from its own distribution."""
        each = _DISTRIBUTIONS[name]
        if "weights" in each:
            return self.category(name, each["weights"])
        share = self.uniform(name)
        return self.between((share + self.uniform(name + "'")) / 2 if each["triangular"] else share, *each["range"])
