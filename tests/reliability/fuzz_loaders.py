"""Everything that facegan reads, with sound files to damage: each kind of file, and the commands that read them."""

import contextlib
import gzip
import io
import json
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import fuzz_mutations as lies
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from fuzz_foreign import bring, weights
from PIL import Image

from facegan import load_generator, plots
from facegan.cli import main
from facegan.config import DataConfig, resolve
from facegan.data.image.crop import parse_crop
from facegan.data.image.resize import Preprocessing, to_square
from facegan.data.open import open_path
from facegan.data.packed.load import load as load_packed
from facegan.data.packed.packed_images import is_damaged, open_packed
from facegan.data.split import select
from facegan.downloads import Link, Patience, recall
from facegan.downloads.http import fetch
from facegan.errors import FaceganError
from facegan.images.decode import decode, quiet_pillow
from facegan.reporter import SILENT
from facegan.sampling import sample
from facegan.storage.run_dir import RunDir
from facegan.training.state import build_state
from facegan.training.trainer import read_config, train

MIB = 2**20
TINY = ("resolution=16", "architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8", "train.batch_size=8")
QUICK = ("train.steps=4", "train.device=cpu", "train.precision=fp32", "output.sample_every=2", "output.state_every=2")
TIFF_NOISE = re.compile(rb"(?!.*(Warning|Traceback))[\w. ]+: .*")  # libtiff's own, which Pillow cannot keep quiet


class DefectError(Exception):
    """Something that must not happen, whatever a file holds."""


@dataclass(frozen=True)
class Loader:
    """One way in for files.

    Attributes:
        name: What the table calls it.
        files: A sound set, by path.
        victims: Those that are damaged, one at a time.
        mutate: How.
        load: Called in a folder that holds the files with the path of the damaged one; the sound ones load.
        budget_bytes: Memory that a load may take beyond what is taken already.
        cost: How many times longer it takes than most: it gets as many times fewer inputs.
        noise: What a library may write to the process's own streams.
    """

    name: str
    files: Mapping[str, bytes]
    victims: tuple[str, ...]
    mutate: lies.Mutation
    load: Callable[[Path], None]
    budget_bytes: int = 512 * MIB
    cost: int = 1
    noise: re.Pattern[bytes] | None = None


def loaders(folder: Path) -> dict[str, Loader]:
    """All of them; `folder` holds what they share."""
    os.environ["FACEGAN_CACHE"] = str(folder / "cache")
    run = folder / "run"
    config = resolve(settings=[*TINY, *QUICK, "data.options.num_images=16"]).complete()
    if not run.exists():
        train(config, RunDir(run))
    files = {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    clock = {"seconds": 1.5, "images_per_second": 99.5}  # so that an input is the same wherever it is made
    lines = [json.dumps(json.loads(line) | clock) + "\n" for line in files["metrics.jsonl"].splitlines()]
    files["metrics.jsonl"] = "".join(lines).encode()
    every = [*_of_ours(files, config, run), *_of_others(), *_foreign(), *_commands(files), *_leftovers()]
    return {loader.name: loader for loader in every}


def _of_ours(files, config, run):
    snapshot = next(name for name in sorted(files) if name.startswith("snapshots/"))
    states = [name for name in sorted(files) if name.startswith("states/")]
    bare = lies.without_tensors(files[snapshot], ("G_ema.", "D."))
    data = load_packed(config.data, resolution=16, channels=3)
    state = build_state(config, torch.device("cpu"))

    def use(path):
        [(_, images)] = sample(load_generator(path), [7])
        if not (images.isfinite().all() and images.abs().max() <= 1):
            raise DefectError("loaded, and its images are no images")

    def resume(path):
        state.load(path, data.digest)
        if not 0 <= state.step < 2**53:
            raise DefectError(f"loaded, and its step is {state.step}")

    def configure(path):
        resolve(file=path).complete()
        if path.suffix == ".json":
            path.rename(path.with_name("config.json"))
            read_config(RunDir(path.parent))

    def measure(path):
        here = RunDir(path.parent)
        plots.read_columns(here)
        plots.save_arrays(here, path.parent / "arrays")
        plots.plot_curves([here])
        here.cut_metrics(2, inside_tick=False)

    def packed(path):
        folder = path.parent
        pictures = open_packed(folder)
        assert len(pictures.names) == len(pictures.digests) == len(pictures)
        repr((pictures.attributes, pictures.skipped, pictures.skipped_digests))
        damaged = is_damaged(pictures)
        source = DataConfig(source=str(folder))
        loaded = load_packed(source, resolution=16, channels=3, at_least=2)
        load_packed(source.model_copy(update={"limit": 2}), resolution=16, channels=3)
        assert damaged or np.asarray(loaded.images[:2]).size

    toml = b'seed = 1\nresolution = 16\n[data]\nsource = "drawn"\ncrop = "center:12"\n[architecture]\nname = "dcgan"\n'
    toml += b"ngf = 8\nz_dim = 12\n[train]\nsteps = 3\nbatch_size = 8\n"
    toml += b"[optimizer]\nlr_G = 1e-4\n[output]\nkeep_states = 2\n"
    store = {path.name: path.read_bytes() for path in data.path.iterdir() if path.is_file()}
    store["skipped.json"] = json.dumps([["a.png", "damaged", "00" * 32]]).encode()
    index = json.loads(store["index.json"]) | {"num_skipped": 1, "passed_over": {".gif": 2}}
    store["index.json"] = json.dumps(index).encode()
    runs = {"1.safetensors": files[snapshot], "2.safetensors": bare}
    yield Loader("snapshot", runs, tuple(runs), lies.lying_tensors, use)
    yield Loader("state", {"1.safetensors": files[states[-1]]}, ("1.safetensors",), lies.lying_tensors, resume)
    yield Loader("config toml", {"c.toml": toml}, ("c.toml",), lies.lying_toml, configure)
    yield Loader("config json", {"c.json": files["config.json"]}, ("c.json",), lies.lying_json, configure)
    metrics = {"metrics.jsonl": files["metrics.jsonl"]}
    yield Loader("metrics", metrics, ("metrics.jsonl",), lies.lying_lines, measure, cost=4)
    for name in ("images.npy", "index.json", "pictures.parquet", "skipped.json"):
        mutate = {".npy": lies.lying_npy, ".json": lies.lying_json, ".parquet": lies.lying_parquet}[Path(name).suffix]
        yield Loader(f"packed {name}", store, (name,), mutate, packed)


def _of_others():
    encoded = {name: _encoded(*how) for name, how in PICTURES.items()}
    faces = {f"a/{number}.png": _encoded("RGB", "PNG", {}, number) for number in range(3)}
    attributes = b"name,Smiling,age,partition,word\n" + b"".join(
        b"a/%d.png,%d,%d.5,%s,w%d\n" % (n, n % 2, n, (b"train", b"val", b"test")[n], n) for n in range(3)
    )
    lists = {
        "attributes.csv": attributes,
        "list_attr_celeba.txt": b"3\nSmiling Male\n0.png  1 -1\n1.png -1  1\n2.png  1  1\n",
        "list_attr_celeba.csv": b"image_id,Smiling,Male\n0.png,1,-1\n1.png,-1,1\n2.png,1,1\n",
        "list_eval_partition.txt": b"0.png 0\n1.png 1\n2.png 2\n",
        "list_eval_partition.csv": b"image_id,partition\n0.png,0\n1.png,1\n2.png,2\n",
        "identity_CelebA.txt": b"0.png 17\n1.png 4\n2.png 17\n",
    }

    def picture(path):
        content, crop = path.read_bytes(), parse_crop("auto")
        with quiet_pillow():
            for channels in (3, 1):
                image = decode(content, channels)
                assert image.mode == ("RGB" if channels == 3 else "L")
                assert crop.apply(image, 16).size == (16, 16)
                to_square(content, Preprocessing(crop=crop, resolution=16, channels=channels, draft=channels == 1))

    def source(path):
        opened = open_path(path)
        known = opened.attributes(opened.names)
        assert all(len(column) == len(opened.names) for column in known.values())
        opened.fingerprint(opened.names)
        refused = []
        with quiet_pillow():
            for _, content in opened.read(opened.names, 16):
                try:
                    to_square(content, Preprocessing(crop=parse_crop("auto"), resolution=16, channels=3))
                except FaceganError as error:
                    refused.append(error)
        if refused:
            raise refused[0]

    def annotations(path):
        opened = open_path(path.parent / "pictures")
        known = opened.attributes(opened.names)
        assert all(len(column) == len(opened.names) for column in known.values())
        for key, value in (("split", "heldout"), ("where", "Smiling=1"), ("where", "age>0.5")):
            if (key == "split" and "partition" in known) or value.split("=")[0].split(">")[0] in known:
                select(opened, DataConfig(source=str(path.parent / "pictures"), **{key: value}))

    yield Loader("pictures", encoded, tuple(encoded), lies.lying_picture, picture, 1536 * MIB, noise=TIFF_NOISE)
    zips = {"1.zip": _zip(faces | {"attributes.csv": attributes}), "2.zip": _zip(faces, zipfile.ZIP_STORED)}
    yield Loader("zip", zips, tuple(zips), lies.lying_zip, source, 1536 * MIB)
    tars = {
        "1.tar": _tar(faces, tarfile.USTAR_FORMAT),
        "2.tar": _tar(faces | {f"{'long' * 40}.png": faces["a/0.png"]}, tarfile.GNU_FORMAT),
    }
    tars |= {
        "3.tar": _tar(
            faces | {f"é{'long' * 40}.png": faces["a/0.png"], "attributes.csv": attributes}, tarfile.PAX_FORMAT
        )
    }
    yield Loader("tar", tars, tuple(tars), lies.lying_tar, source, 1536 * MIB)
    tgz = {f"{name[0]}.tgz": gzip.compress(content, 1, mtime=0) for name, content in tars.items()}
    yield Loader("tgz", tgz, tuple(tgz), lies.lying_tar, source, 1536 * MIB)
    shards = {f"{name}.parquet": _parquet(faces, **how) for name, how in PARQUETS.items()}
    yield Loader("parquet", shards, tuple(shards), lies.lying_parquet, source, 1536 * MIB)
    for name, content in lists.items():
        files = {f"pictures/{face[2:]}": faces[face] for face in faces} | {name: content}
        yield Loader(name, files, (name,), lies.lying_table, annotations)


def _foreign():
    for name, (files, mutate) in weights().items():
        yield Loader(name, files, tuple(files), mutate, bring, cost=2)


def _leftovers():
    record = {"path": "/", "num_images": 3, "source": "a copy", "root": None, "licence": "words"}
    arrived = bytes(range(256)) * 8
    link = Link(
        url="http://127.0.0.1:9/file", name="file", checksum=f"sha256:{lies.hashlib.sha256(arrived).hexdigest()}"
    )
    note = {"of": link.checksum, "validator": None, "total": len(arrived)}

    def remembered(path):
        with _environment("FACEGAN_CACHE", str(path.parent.parent)):
            repr(recall("celeba"))

    def partial(path):
        # Nobody answers there: the file is complete, or the failure is reported.
        hasty = Patience(attempts=1, delay_seconds=0, timeout_seconds=1)
        fetch(link, path.parent, patience=hasty, reporter=SILENT)

    name = "datasets/celeba.json"
    yield Loader("download record", {name: json.dumps(record).encode()}, (name,), lies.lying_json, remembered)
    left = {"file.part": arrived, "file.part.json": json.dumps(note).encode()}
    yield Loader("download note", left, ("file.part.json",), lies.lying_json, partial)
    yield Loader("download part", left, ("file.part",), lies.scarred, partial)


def _commands(files):
    names = sorted(files)
    (snapshot, *_), (state, *_) = (
        [name for name in reversed(names) if name.startswith(kind)] for kind in ("snapshots", "states")
    )
    grids = tuple(name for name in names if re.match("samples/step", name))
    yield Loader(
        "facegan sample", {"x.safetensors": files[snapshot]}, ("x.safetensors",), lies.lying_tensors,
        lambda path: command("sample", path, "-n", 1, "-o", path.with_name("x.png"), "--device", "cpu"), cost=20,
    )  # fmt: skip
    for victim, mutate in ((state, lies.lying_tensors), ("metrics.jsonl", lies.lying_lines)):
        yield Loader(
            f"facegan resume ({Path(victim).parts[0]})", files, (victim,), mutate,
            lambda path: command("resume", _run_of(path), "--steps", 5), cost=100,
        )  # fmt: skip
    yield Loader(
        "facegan plot", files, ("metrics.jsonl",), lies.lying_lines,
        lambda path: command("plot", path.parent, "-o", path.with_name("p.png")), cost=100,
    )  # fmt: skip
    yield Loader(
        "facegan timelapse", files, grids, lies.lying_picture,
        lambda path: command("timelapse", _run_of(path), "-o", path.with_name("t.gif")), 1536 * MIB, cost=100,
    )  # fmt: skip
    yield Loader(
        "facegan train --dry-run", {"c.json": files["config.json"]}, ("c.json",), lies.lying_json,
        lambda path: command("train", "--config", path, "--dry-run"), cost=100,
    )  # fmt: skip


def command(*arguments: object) -> None:
    """Run a command in this process; raises FaceganError with its complaint, DefectError where it misbehaves."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    said = err.getvalue()
    *talk, last = said.splitlines() or [""]
    if code not in (0, 1, 2):
        raise DefectError(f"exit code {code}: {last}")
    if "Traceback" in said or "Warning" in said or "shows where" in said or "facegan: system:" in said:
        raise DefectError(f"exit code {code}: {' '.join(said.split())}")
    if code and (out.getvalue() or any(line.startswith("facegan") for line in talk)):
        raise DefectError(f"exit code {code} with a result, or more than one line: {out.getvalue()}{said}")
    if code:
        raise FaceganError(last)


def _run_of(path):
    return next(folder for folder in path.parents if (folder / "config.json").exists())


@contextlib.contextmanager
def _environment(name, value):
    before = os.environ[name]
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ[name] = before


SIDEWAYS = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
PICTURES = {
    "1.jpg": ("RGB", "JPEG", {"quality": 90}),
    "2.jpg": ("RGB", "JPEG", {"quality": 50, "progressive": True, "subsampling": 0}),
    "3.jpg": ("L", "JPEG", {}),
    "4.jpg": ("CMYK", "JPEG", {}),
    "5.jpg": ("RGB", "JPEG", {"exif": SIDEWAYS}),
    "1.png": ("RGB", "PNG", {}),
    "2.png": ("RGBA", "PNG", {}),
    "1.webp": ("RGB", "WEBP", {"quality": 80}),
    "2.webp": ("RGBA", "WEBP", {"lossless": True}),
    "1.bmp": ("RGB", "BMP", {}),
    "1.tif": ("RGB", "TIFF", {}),
    "2.tif": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "3.tif": ("RGB", "TIFF", {"compression": "jpeg"}),
    "1.gif": ("L", "GIF", {}),
    "1.ppm": ("RGB", "PPM", {}),
    "2.pgm": ("L", "PPM", {}),
}
PARQUETS = {
    "plain": {"compression": "NONE"},
    "packed": {"compression": "zstd", "use_dictionary": True},
    "snappy": {"compression": "snappy", "data_page_version": "2.0"},
}


def _encoded(mode, format, options, number=0):
    """An image, half noise and half flat, so that coders use more than one of their ways."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(number).integers(0, 256, (36, 40, bands), dtype=np.uint8)
    values[:, :20] = 90
    file = io.BytesIO()
    Image.merge(mode, [Image.fromarray(values[:, :, band]) for band in range(bands)]).save(file, format, **options)
    return file.getvalue()


def _zip(files, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, method)
    return file.getvalue()


def _tar(files, format):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _parquet(files, **how):
    pictures = [{"bytes": content, "path": name} for name, content in files.items()]
    table = pa.table({"image": pictures, "age": [1, None, 3], "word": ["a", "b", None], "smiles": [True, False, None]})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2, **how)
    return file.getvalue()


if sys.platform != "linux":  # memory is limited, and processes are forked, as Linux does it
    raise ImportError("the fuzzer needs Linux")
