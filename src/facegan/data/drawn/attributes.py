"""The attributes of drawn faces: each is a pure function of (seed, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 throughout
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

# A category's code is its position in its tuple; the renderer's tables have the same order.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "background": ("cream", "peach", "mint", "sky", "lavender", "butter", "rose", "sage", "denim"),
    "backdrop": ("plain", "gradient", "disc"),
    "skin": ("porcelain", "fair", "peach", "beige", "honey", "tan", "brown", "umber", "deep"),
    "face_shape": ("oval", "round", "square", "heart", "long"),
    "hair_style": ("bald", "buzz", "short", "quiff", "fringe", "bob", "long", "wavy", "curly", "bun", "bunches"),
    "hair_colour": (
        *("black", "espresso", "chestnut", "auburn", "ginger"),
        *("blond", "platinum", "grey", "pink", "teal"),
    ),
    "eye_colour": ("brown", "hazel", "green", "blue", "grey"),
    "nose": ("button", "straight", "wide"),
    "mouth": ("frown", "neutral", "smile", "open smile"),
    "glasses_style": ("none", "round", "square", "half-rim"),
    "facial_hair": ("none", "stubble", "moustache", "goatee", "beard"),
    "top": ("crew", "v-neck", "striped", "shirt"),
    "top_colour": ("coral", "mustard", "teal", "navy", "plum", "forest", "white", "brick"),
}

_WEIGHTS: dict[str, tuple[float, ...]] = {
    "backdrop": (3, 4, 3),
    "hair_style": (4, 6, 14, 10, 10, 11, 11, 9, 11, 8, 6),
    "eye_colour": (38, 16, 16, 20, 10),
    "face_shape": (30, 22, 18, 18, 12),
    "nose": (4, 3, 3),
    "mouth": (7, 21, 40, 32),
    "glasses_style": (74, 11, 9, 6),
}
_HAIR_COLOUR_WEIGHTS_LIGHT = (14, 16, 18, 10, 11, 15, 5, 6, 3, 2)
_HAIR_COLOUR_WEIGHTS_DARK = (46, 28, 10, 4, 1, 2, 1, 5, 2, 1)
_FACIAL_HAIR_WEIGHTS_SHORT = (46, 14, 10, 10, 20)
_FACIAL_HAIR_WEIGHTS_LONG = (96, 1, 1, 1, 1)
# The categories that depend on no other, and the lowest and highest value of each number.
_INDEPENDENT = (
    *("background", "backdrop", "skin", "face_shape", "hair_style", "nose", "mouth", "glasses_style"),
    *("top", "top_colour"),
)
_BETWEEN = {
    "skin_light": (-1, 1),
    "hair_volume": (0.96, 1.05),
    "eye_size": (0.9, 1.12),
    "eye_spacing": (0.93, 1.08),
    "eye_openness": (0.78, 1),
    "brow_thickness": (0.7, 1.4),
    "nose_size": (0.85, 1.2),
    "mouth_width": (0.85, 1.15),
    "blush": (0, 1),
    "scale": (0.97, 1.08),
}
_TRIANGULAR = {
    "gaze": (-1, 1),
    "brow_tilt": (-1, 1),
    "shift_x": (-0.04, 0.04),
    "shift_y": (-0.03, 0.03),
    "tilt": (-7, 7),
    "turn": (-1, 1),
}
_SHORT_STYLES = ("bald", "buzz", "short", "quiff")
_EARS_SHOW = (*_SHORT_STYLES, "bun", "bunches")


@dataclass(frozen=True)
class Attributes:
    """The attributes of N drawn faces: one array of length N each.

    Categories are codes into ``CATEGORIES``. Lengths are fractions of their usual size, unless said otherwise.
    """

    background: Codes  # the background's colour
    backdrop: Codes  # how the background is laid out
    skin: Codes  # the skin's tone
    skin_light: Floats  # lightness added to the tone, -1 to 1
    face_shape: Codes  # the outline of the face
    hair_style: Codes  # the hair's cut
    hair_volume: Floats  # size of the hair around the head, 0.96 to 1.05
    hair_colour: Codes  # the hair's colour, also that of brows and beard
    part: Floats  # the side the hair falls to, -1 (left) or 1 (right)
    eye_colour: Codes  # the iris
    eye_size: Floats  # size of the eyes, 0.9 to 1.12
    eye_spacing: Floats  # distance between the eyes, 0.93 to 1.08
    eye_openness: Floats  # how far the lids are open, 0.78 to 1
    gaze: Floats  # where the eyes look, -1 (left) to 1 (right)
    lashes: Flags  # whether the lashes are drawn
    brow_thickness: Floats  # 0.7 to 1.4
    brow_tilt: Floats  # -1 (worried) to 1 (stern)
    nose: Codes  # the nose's kind
    nose_size: Floats  # 0.85 to 1.2
    mouth: Codes  # the expression
    smile: Floats  # how far the corners of the mouth rise, -0.6 to 1
    mouth_width: Floats  # 0.85 to 1.15
    lipstick: Flags  # whether the lips are coloured
    blush: Floats  # redness of the cheeks, 0 to 1
    freckles: Flags  # whether there are freckles
    glasses_style: Codes  # the glasses' frame, or none
    facial_hair: Codes  # the beard or moustache
    earrings: Flags  # whether earrings are worn; only where the hair leaves the ears free
    top: Codes  # the garment's cut
    top_colour: Codes  # the garment's colour
    light: Floats  # where the light comes from, -1 (left) to 1 (right)
    shift_x: Floats  # position to the right of the middle, as a fraction of the frame, -0.04 to 0.04
    shift_y: Floats  # position below the middle, as a fraction of the frame, -0.03 to 0.03
    scale: Floats  # size of the head, 0.97 to 1.08
    tilt: Floats  # tilt of the head to the right, in degrees, -7 to 7
    turn: Floats  # turn of the head, -1 (left) to 1 (right)

    def __len__(self) -> int:
        return len(self.skin)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Attributes:
        """Return the attributes of the chosen faces only."""
        return Attributes(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def columns(self) -> dict[str, list[str | int | float | bool]]:
        """Return one readable list per attribute: words for categories, and whether glasses are worn at all."""
        table: dict[str, list[str | int | float | bool]] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            words = CATEGORIES.get(field.name)
            if words is not None:
                table[field.name] = [words[code] for code in values.tolist()]
            elif values.dtype == np.bool_:
                table[field.name] = values.tolist()
            else:
                table[field.name] = [round(value, 3) for value in values.tolist()]
        table["glasses"] = [style != "none" for style in table["glasses_style"]]
        return table


def code(attribute: str, word: str) -> int:
    """Return the code of a category's word."""
    return CATEGORIES[attribute].index(word)


def is_any_of(codes: Codes, attribute: str, words: Collection[str]) -> Flags:
    """Return whether each code stands for one of these words."""
    return np.array([word in words for word in CATEGORIES[attribute]])[codes]


def ears_show(hair_style: Codes) -> Flags:
    """Return whether a style leaves the ears free."""
    return is_any_of(hair_style, "hair_style", _EARS_SHOW)


def draw_attributes(seed: int, indices: Sequence[int] | NDArray[np.int64]) -> Attributes:
    """Draw the attributes of the faces with these indices (each at least 0); each depends on (seed, index) alone."""
    dice = _Dice(seed, np.asarray(indices, dtype=np.int64))
    drawn: dict[str, Any] = {name: dice.category(name) for name in _INDEPENDENT}
    drawn |= {name: dice.between(name, low, high) for name, (low, high) in _BETWEEN.items()}
    drawn |= {name: dice.triangular(name, low, high) for name, (low, high) in _TRIANGULAR.items()}
    dark = drawn["skin"] >= code("skin", "brown")
    short = is_any_of(drawn["hair_style"], "hair_style", _SHORT_STYLES)
    facial_hair = np.where(
        short,
        dice.category("facial_hair", _FACIAL_HAIR_WEIGHTS_SHORT),
        dice.category("facial_hair", _FACIAL_HAIR_WEIGHTS_LONG),
    )
    shaven = facial_hair == 0
    # The corners of the mouth, per expression: lowest and highest.
    low, high = np.array([[-0.6, -0.12, 0.35, 0.45], [-0.3, 0.15, 1.0, 1.0]])[:, drawn["mouth"]]
    return Attributes(
        **drawn,
        hair_colour=np.where(
            dark,
            dice.category("hair_colour", _HAIR_COLOUR_WEIGHTS_DARK),
            dice.category("hair_colour", _HAIR_COLOUR_WEIGHTS_LIGHT),
        ),
        part=dice.side("part"),
        eye_colour=np.where(
            dark & dice.chance("eye_colour_dark", 0.8), code("eye_colour", "brown"), dice.category("eye_colour")
        ),
        lashes=dice.chance("lashes", np.where(short, 0.12, 0.75)) & shaven,
        smile=dice.between("smile", low, high),
        lipstick=dice.chance("lipstick", np.where(short, 0.06, 0.55)) & shaven,
        facial_hair=facial_hair,
        freckles=dice.chance("freckles", 0.16),
        earrings=dice.chance("earrings", np.where(short, 0.1, 0.5)) & ears_show(drawn["hair_style"]),
        light=dice.between("light", 0.45, 1) * dice.side("light_side"),
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

    def between(self, name: str, low: float | NDArray[np.float64], high: float | NDArray[np.float64]) -> Floats:
        """Return uniform values from low to high, in thousandths, so that the reported value is the one drawn."""
        return np.round(low + (high - low) * self.uniform(name), 3).astype(np.float32)

    def triangular(self, name: str, low: float, high: float) -> Floats:
        """Return triangularly distributed values from low to high, in thousandths."""
        both = (self.uniform(name) + self.uniform(name + "'")) / 2
        return np.round(low + (high - low) * both, 3).astype(np.float32)

    def category(self, name: str, weights: Sequence[float] | None = None) -> Codes:
        """Return codes of the category of this name, distributed by the weights (default: the category's own)."""
        weights = weights or _WEIGHTS.get(name) or (1.0,) * len(CATEGORIES[name])
        edges = np.cumsum(weights) / np.sum(weights)
        edges[-1] = 1.0  # rounding must not leave a gap below 1
        return np.searchsorted(edges, self.uniform(name), side="right").astype(np.int64)
