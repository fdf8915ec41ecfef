"""CelebA in miniature: 60 drawn faces in every form in which people have the real one."""

import io
import tarfile
import zipfile
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facegan.data.drawn import DrawnFaces

NUM = 60
ATTRIBUTES = [
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
    "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
    "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
]  # fmt: skip
NAMES = [f"{number:06d}.jpg" for number in range(1, NUM + 1)]
_RNG = np.random.default_rng(7)
SIGNS = _RNG.choice([-1, 1], (NUM, len(ATTRIBUTES)))
PEOPLE = _RNG.integers(1, 30, NUM)
PARTITION = [0] * 40 + [1] * 12 + [2] * 8
PARTS = [("train", "val", "test")[number] for number in PARTITION]


def known(attribute):
    """The booleans of one attribute, in the order of the names."""
    return (SIGNS[:, ATTRIBUTES.index(attribute)] > 0).tolist()


@cache
def faces():
    """The names and the JPEG files, 178 x 218."""
    source = DrawnFaces(num_images=NUM).open()
    files = {}
    for name, (_, image) in zip(NAMES, source.read(source.names, 64), strict=True):
        file = io.BytesIO()
        image.resize((178, 218)).save(file, "JPEG", quality=90)
        files[name] = file.getvalue()
    return files


def text_files():
    """The official text files, as they are laid out."""
    signs = "".join(
        f"{name} {' '.join(f'{sign:2d}' for sign in row)}\n" for name, row in zip(NAMES, SIGNS, strict=True)
    )
    return {
        "list_attr_celeba.txt": f"{NUM}\n{' '.join(ATTRIBUTES)} \n{signs}",
        "list_eval_partition.txt": "".join(f"{pair[0]} {pair[1]}\n" for pair in zip(NAMES, PARTITION, strict=True)),
        "identity_CelebA.txt": "".join(f"{pair[0]} {pair[1]}\n" for pair in zip(NAMES, PEOPLE, strict=True)),
    }


def csv_files():
    """The same as Kaggle's copy has it, which knows no identities."""
    signs = "".join(f"{name},{','.join(map(str, row))}\r\n" for name, row in zip(NAMES, SIGNS, strict=True))
    parts = "".join(f"{pair[0]},{pair[1]}\n" for pair in zip(NAMES, PARTITION, strict=True))
    return {
        "list_attr_celeba.csv": f"image_id,{','.join(ATTRIBUTES)}\r\n{signs}",
        "list_eval_partition.csv": f"image_id,partition\n{parts}",
    }


def images_only(root):
    """A folder of the images alone."""
    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    for name, content in faces().items():
        (folder / name).write_bytes(content)
    return folder


def folder(root):
    """The unpacked images, and the text files next to their folder."""
    made = images_only(root)
    for name, text in text_files().items():
        (root / name).write_text(text)
    return made


def official_zip(root):
    """img_align_celeba.zip with the text files next to it."""
    root.mkdir(parents=True)
    for name, text in text_files().items():
        (root / name).write_text(text)
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for name, content in faces().items():
            archive.writestr(f"img_align_celeba/{name}", content)
    return root / "img_align_celeba.zip"


def kaggle_zip(root):
    """Kaggle's archive: CSV files, and the images in a folder in a folder."""
    root.mkdir(parents=True)
    with zipfile.ZipFile(root / "archive.zip", "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, content in faces().items():
            archive.writestr(f"img_align_celeba/img_align_celeba/{name}", content)
        for name, text in csv_files().items():
            archive.writestr(name, text)
    return root / "archive.zip"


def kaggle_folder(root):
    """The same, unpacked; the innermost folder."""
    made = images_only(root / "img_align_celeba")
    for name, text in csv_files().items():
        (root / name).write_text(text)
    return made


def tgz(root):
    """Everything in one archive, in a folder of its own."""
    root.mkdir(parents=True)
    files = {f"img_align_celeba/{name}": content for name, content in faces().items()}
    files |= {name: text.encode() for name, text in text_files().items()}
    with tarfile.open(root / "celeba.tgz", "w:gz") as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(f"celeba/{name}")
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return root / "celeba.tgz"


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(rows, *, paths=True):
    """A Hugging Face table with the column `image` of these rows."""
    files = list(faces().items())
    images = [{"bytes": files[row][1], "path": files[row][0] if paths else None} for row in rows]
    metadata = {b"huggingface": b'{"info": {"features": {"image": {"_type": "Image"}}}}'}
    return pa.table({"image": pa.array(images, IMAGE)}).replace_schema_metadata(metadata)


def parquet(root):
    """Shards by train, valid and test, with attributes, as flwrlabs/celeba has them."""
    (root / "data").mkdir(parents=True)
    parts = {"train-00000-of-00002": range(20), "train-00001-of-00002": range(20, 40)}
    parts |= {"valid-00000-of-00001": range(40, 52), "test-00000-of-00001": range(52, NUM)}
    for shard, rows in parts.items():
        made = table(rows)
        made = made.append_column("celeb_id", pa.array(PEOPLE[list(rows)]))
        for place, name in enumerate(ATTRIBUTES):
            made = made.append_column(name, pa.array(SIGNS[list(rows), place] > 0))
        pq.write_table(made, root / "data" / f"{shard}.parquet", row_group_size=7)
    return root


def parquet_images_only(root):
    """Shards of images without names, as nielsr/CelebA-faces has them."""
    (root / "data").mkdir(parents=True)
    for number, rows in enumerate([range(30), range(30, NUM)]):
        pq.write_table(table(rows, paths=False), root / "data" / f"train-{number:05d}-of-00002.parquet")
    return root
