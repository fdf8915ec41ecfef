"""Bars of attributes: how often real and generated faces show each."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..storage.atomic import write_atomic

REAL, FAKE = "#94a3b8", "#c2410c"
MOST = 40  # attributes in one image
THICK = 0.38  # of a bar, where two and a gap take 1
ROW = 0.3  # inches an attribute
BESIDE = 1.3  # inches above and below the bars


def attributes(proportions: Sequence[Mapping[str, Any]], *, title: str = "Attributes") -> Figure:
    """Two horizontal bars an attribute, real above generated, with 95 % intervals; the largest difference on top.

    An attribute whose shares differ by more than chance explains has its name in bold. Of more than MOST, those that
    differ most are shown, and it is said how many are not.

    Args:
        proportions: Each with "name", "real", "real_interval", "fake", "fake_interval" and "differs", as the details of
            the metric `attributes` list them under that key.
        title: Above the bars.
    """
    chosen = sorted(proportions, key=lambda each: -abs(each["fake"] - each["real"]))[:MOST]
    figure = Figure(figsize=(9, BESIDE + ROW * max(1, len(chosen))), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(chosen))
    for side, label, colour, shift in (("real", "real", REAL, -THICK / 2), ("fake", "generated", FAKE, THICK / 2)):
        shares = np.array([each[side] for each in chosen])
        bounds = np.array([each[f"{side}_interval"] for each in chosen]).reshape(-1, 2)
        margins = np.abs(bounds - shares[:, None]).T  # (2, attributes): to the left and to the right
        whiskers = {"ecolor": "#1f2937", "elinewidth": 0.8}
        axes.barh(places + shift, shares, THICK, xerr=margins, label=label, color=colour, error_kw=whiskers)
    axes.set_yticks(places, [each["name"] for each in chosen])
    for text, each in zip(axes.get_yticklabels(), chosen, strict=True):
        text.set_fontweight("bold" if each["differs"] else "normal")
    left_out = len(proportions) - len(chosen)
    rest = f"; {left_out} more, which differ less, are not shown" if left_out else ""
    axes.set(ylim=(len(chosen) - 0.4, -0.6), xlim=(0, None), xlabel=f"share of faces (bold: they differ{rest})")
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    return figure


def save_attributes(proportions: Sequence[Mapping[str, Any]], path: Path, *, title: str = "Attributes") -> None:
    """Draw `attributes` into a file, whole or not at all; its ending is one of ENDINGS."""
    buffer = BytesIO()
    attributes(proportions, title=title).savefig(buffer, format=path.suffix[1:].lower(), dpi=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())
