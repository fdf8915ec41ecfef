"""Images before training: check, preview and pack them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ..errors import ConfigError
from ..messages import counted
from ..reporter import SILENT, Reporter
from .options import CHOICE, DataSettings, PathLike, Resolution, Source, data_config

if TYPE_CHECKING:
    from ..data.check.check import Report
    from ..data.packed.packed_images import PackedImages

MAX_IMAGES = 1024  # of a preview
MAX_SKIPPED = 10  # images that packing names; the packed folder lists all


def check_data(
    source: Source,
    resolution: Resolution = None,
    *,
    settings: DataSettings = (),
    near: Annotated[
        int | None,
        Option(
            min=-1,
            help="Bits of 64 in which the perceptual hashes of near duplicates may differ; 0: equal hashes only; "
            "-1: no search. By default 4, and no search among drawn or packed images.",
        ),
    ] = None,
    quarantine: Annotated[
        PathLike | None,
        Option(help="Move unreadable files and all but the first of equal files out of a folder, to this one."),
    ] = None,
    reporter: Reporter = SILENT,
) -> "Report":
    """Read every image once, and report statistics and findings.

    Findings are unreadable files, images that the crop refuses or that would be enlarged, equal files, other files
    with equal pixels, and near duplicates. Greyscale images and ones that EXIF rotates are notes, which --strict
    ignores.

    Nothing is changed unless --quarantine DIR is given. It deletes and overwrites nothing, and records each move in
    DIR/quarantine.jsonl.
    """
    config = data_config(source, resolution, settings, CHOICE)

    from ..data.check.check import check
    from ..data.check.duplicates import MOST_BITS
    from ..data.check.quarantine import Quarantine
    from ..data.open import open_source

    if near is not None and near > MOST_BITS:
        raise ConfigError(f"--near {near}: give 0 to {MOST_BITS}, or -1 for no search; beyond that all faces are alike")
    images = open_source(config.data)
    folder = None if quarantine is None else Quarantine(images, config.data.source, Path(quarantine))
    report = check(images, config.data, resolution=config.resolution, near=near, reporter=reporter)
    return report if folder is None else folder.move(report, reporter=reporter)


def preview_data(
    source: Source,
    out: Annotated[
        PathLike, Option("-o", "--out", help="The grid; the ending chooses the format. The crops go to OUT-crops.")
    ] = "preview.png",
    *,
    resolution: Resolution = None,
    settings: DataSettings = (),
    num: Annotated[int, Option("-n", "--num", min=1, max=MAX_IMAGES, help="Number of images, chosen at random.")] = 64,
    rows: Annotated[int, Option(min=1, max=64, help="Images whose crops are compared.")] = 8,
    seed: Annotated[int, Option(min=0, help="Seed of the choice.")] = 0,
    reporter: Reporter = SILENT,
) -> list[Path]:
    """Show what the network will see, and the named crops side by side.

    The grid has images of the chosen part of the source, cropped, resized and, with --set data.mirror=true, half of
    them mirrored. The second file has a row for each image: the original, the crop that is used, and each crop of
    published work that fits.
    """
    from ..images import check_ending, grid, save

    path = Path(out)
    used = (*CHOICE, "data.filter", "data.draft", "data.mirror", "channels")
    config = data_config(source, resolution, settings, used)
    check_ending(path)

    from .. import __version__
    from ..data.check.preview import choose, crop_sheet, network_input
    from ..data.open import open_source

    side, data = config.resolution, config.data
    chosen = choose(
        open_source(data), data, num=num, num_originals=rows, resolution=side, channels=config.channels, seed=seed
    )
    for name, reason in chosen.unusable:
        reporter.info(f"left out: {name}: {reason}")
    description = f"{data.source}: crop {chosen.crop_name}, {data.filter}, {side}x{side}, seed {seed}"
    about = {"Software": f"facegan {__version__}", "Description": description}
    crops_path = path.with_stem(f"{path.stem}-crops")
    save(path, grid(network_input(chosen, mirror=data.mirror, seed=seed)), about)
    save(crops_path, crop_sheet(chosen, resolution=side, filter=data.filter), about)
    return [path, crops_path]


def pack(
    source: Source,
    out: Annotated[
        PathLike | None, Option("-o", "--out", help="A new folder; by default the cache that training looks in.")
    ] = None,
    *,
    resolution: Resolution = None,
    settings: DataSettings = (),
    verify: Annotated[
        bool,
        Option("--verify", help="Compare images packed before with the source by content, not by size and time."),
    ] = False,
    reporter: Reporter = SILENT,
) -> "PackedImages":
    """Decode, crop and resize images once and for all.

    Training packs its images by itself. Pack them beforehand to save that time, or pack them into a folder that you
    can keep or move to another machine: it is a SOURCE like any other. --set data.draft=true decodes JPEG files at a
    reduced size: faster, with slightly different pixels.
    """
    config = data_config(source, resolution, settings, (*CHOICE, "data.filter", "data.draft", "channels"))

    from rich.filesize import decimal

    from ..data.packed.load import pack_cached, pack_folder, remarks

    start = partial(pack_folder, path=Path(out)) if out else pack_cached
    images, is_new = start(
        config.data, resolution=config.resolution, channels=config.channels, verify=verify, reporter=reporter
    )
    for line in remarks(images, num_named=MAX_SKIPPED):
        reporter.info(line)
    if images.num_skipped > MAX_SKIPPED:
        reporter.info(f"{images.path}/skipped.json names all")
    size = f"{counted(len(images), 'image')}, {config.resolution}x{config.resolution}, {decimal(images.images.nbytes)}"
    reporter.info(f"{source}: {size}{'' if is_new else '; packed before'}")
    return images
