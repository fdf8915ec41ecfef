"""Ways in which a file goes wrong: by chance, and at the hands of someone who knows its format."""

import ast
import gzip
import hashlib
import json
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

Mutation = Callable[[bytes, bytes, Random], bytes]  # a sound file, another one of its kind, the dice

SIGNATURE = re.compile(rb'"digest":\s*"([0-9a-f]{64})"')
EXTREMES = (0, 1, -1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
TERMINAL = "\x1b[2J\x07"  # clears a terminal that prints it
VALUES = (  # as they stand in a JSON text
    "0", "-1", "1", "2", "7", "1e999", "-1e999", "NaN", "Infinity", "1e308", "1.5", "-0.0", str(2**31), str(2**63),
    str(2**64), str(10**12), str(10**30), "1" * 5000, "true", "false", "null", "{}", "[]", "[[]]", '""', '"x"', '"1"',
    '"-1"', '"\\ud800"', '"\\u0000"', json.dumps(TERMINAL), '"two\\nlines"', '"../../etc/passwd"', '"/"',
    '"' + "x" * 100_000 + '"', "[" * 100_000 + "]" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, "[1,2,3]",
    '{"name": "dcgan"}', "1e9", str(10**9), str(2**20), "16", "256", '"no/such"', '"NaN"', "[null]",
)  # fmt: skip


class Canary:
    """What a pickle that is loaded does: it leaves a file."""

    path = Path("canary")

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def scarred(content: bytes, other: bytes, dice: Random) -> bytes:
    """Chance damage: bits, bytes, cuts, holes, repeats, swaps, absurd numbers, parts of another file, a pickle."""
    content = bytearray(content)
    for _ in range(dice.choice([1, 1, 1, 2, 5, 20])):
        if not content:
            break
        # What decides most stands at the beginning or at the end.
        near = min(len(content), 200)
        place = dice.choice(
            [dice.randrange(len(content)), dice.randrange(near), len(content) - 1 - dice.randrange(near)]
        )
        length = dice.choice([1, 4, 50, 500])
        match dice.randrange(14):
            case 0 | 1:
                content[place] ^= 1 << dice.randrange(8)
            case 2:
                content[place] = dice.choice([0, 1, 127, 128, 255])
            case 3 | 4:
                size = dice.choice([2, 4, 8])
                number = dice.choice(EXTREMES) % 256**size
                content[place : place + size] = number.to_bytes(size, dice.choice(["little", "big"]))
            case 5:
                del content[place : place + length]
            case 6:
                content[place:place] = dice.randbytes(length)
            case 7:
                content[place:place] = content[place : place + length]
            case 8:
                content[place : place + length] = bytes(len(content[place : place + length]))
            case 9:
                there = dice.randrange(len(content))
                here, far = content[place : place + length], content[there : there + length]
                content[place : place + length], content[there : there + length] = far, here
            case 10:
                del content[place:]
            case 11:
                content += dice.choice([dice.randbytes(length), bytes(length), bytes(content)])
            case 12:
                content[place:] = other[dice.randrange(len(other)) if dice.random() < 0.5 else place :]
            case 13 if dice.random() < 0.2:
                content = bytearray(pickle.dumps(Canary(), dice.choice([0, 2, 4])))
            case 13:
                content[place:] = dice.randbytes(dice.randrange(400))
    return bytes(content)


def lying_json(content: bytes, other: bytes, dice: Random) -> bytes:
    """A JSON text that says something else: values of other kinds and sizes, keys twice, too many or none."""
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    root = [json.loads(content)]
    raw: dict[str, str] = {}
    for _ in range(dice.choice([1, 1, 2, 4])):
        places = list(_places(root))
        holder, key = dice.choice(places)
        mark = f"@raw {len(raw)}@"
        match dice.randrange(8):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[mark] = mark
                raw[mark] = dice.choice(VALUES)
            case 2 if isinstance(holder, dict):
                value = json.dumps(holder[key])
                raw[mark], holder[key] = f"{value}, {json.dumps(key)}: {dice.choice(VALUES)}", mark
            case 3:
                theirs, their_key = dice.choice(places)
                raw[mark] = json.dumps(theirs[their_key])
                holder[key] = mark
            case 4 if isinstance(holder[key], int | float):
                holder[key] = holder[key] * dice.choice([-1, 2, 10, 1000]) + dice.choice([-1, 0, 1])
            case _:
                raw[mark] = dice.choice(VALUES)
                holder[key] = mark
    text = json.dumps(root[0])
    for mark, value in reversed(raw.items()):
        text = text.replace(json.dumps(mark), value)
    return text.encode()


def _places(tree):
    """Every (container, key) of a tree."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def lying_lines(content: bytes, other: bytes, dice: Random) -> bytes:
    """Lines of JSON of which one or two lie, are missing or stand in another order."""
    lines = content.splitlines()
    for place in dice.sample(range(len(lines)), dice.choice([1, 1, 2])):
        match dice.randrange(5):
            case 0:
                lines[place] = dice.choice(VALUES).encode()
            case 1:
                lines[place] += b"\n" + dice.choice(lines)
            case _:
                lines[place] = lying_json(lines[place], other, dice)
    return b"\n".join(lines) + b"\n" * dice.randrange(2)


def lying_toml(content: bytes, other: bytes, dice: Random) -> bytes:
    """A TOML text with other values, or damaged."""
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    lines = content.decode().splitlines()
    for _ in range(dice.choice([1, 1, 2, 4])):
        place = dice.choice([number for number, line in enumerate(lines) if "=" in line])
        key = lines[place].partition("=")[0]
        value = dice.choice(
            [*VALUES, "1979-05-27", "0x" + "f" * 5000, "inf", "nan", "0x7fffffffffffffff", "{a.b.c = 1}", "'''\n'''"]
        )
        lines[place] = dice.choice(
            [f"{key}= {value}", f"{lines[place]}\n{key}= {value}", f"{key.strip()}.a.b = {value}"]
        )
    return "\n".join(lines).encode()


def lying_table(content: bytes, other: bytes, dice: Random) -> bytes:
    """A text of rows and columns with other words, other rows, or damage."""
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    separator = "," if b"," in content else " "
    rows = [line.split(separator) for line in content.decode().split("\n")]
    words = [json.loads(value) for value in VALUES if value.startswith('"')]
    words += [
        "",
        "-1",
        "0",
        "2",
        "1e999",
        "nan",
        "9" * 30,
        "1" * 5000,
        '"',
        "'",
        "a\x00b",
        "é\ufeff",
        "\r",
        "true",
        "2020-01-01",
    ]
    for _ in range(dice.choice([1, 1, 2, 4])):
        row = rows[dice.choice([0, 1, dice.randrange(len(rows))]) % len(rows)]
        match dice.randrange(7):
            case 0:
                rows.append(list(row))
            case 1:
                row.append(dice.choice(words))
            case 2 if len(row) > 1:
                row.pop()
            case 3:
                rows.remove(row)
                rows = rows or [[""]]
            case _:
                row[dice.randrange(len(row))] = dice.choice(words)
    text = "\n".join(separator.join(row) for row in rows)
    return text.encode("utf-8", "surrogatepass")


# Safetensors: 8 bytes with the header's length, the header in JSON, the tensors' bytes.


def lying_tensors(content: bytes, other: bytes, dice: Random) -> bytes:
    """A safetensors file of ours that is damaged, or that was forged and sealed again as its writer would have."""
    header, data = _unpacked(content)
    metadata = header["__metadata__"]
    names = [name for name in header if name != "__metadata__"]
    name = dice.choice(names)
    match dice.randrange(12):
        case 0 | 1:
            return scarred(content, other, dice)
        case 2:
            start = len(content) - len(data)
            return resealed(content[:start] + scarred(data, other, dice)[: len(data)].ljust(len(data), b"\0"))
        case 3:
            value = dice.choice([value for value in VALUES if len(value) < 6000])
            metadata[dice.choice(list(metadata))] = json.loads(value) if value.startswith('"') else value
        case 4 | 5:
            metadata["config"] = _lying_config(metadata["config"], dice)
        case 6:
            header[name], data = _other_tensor(header[name], data, dice)
        case 7:
            start, end = header[name]["data_offsets"]
            count, size = dice.choice([1, 3, 10**6]), dice.choice([4, 8])
            values = dice.choice([struct.pack("<f", number) for number in (float("nan"), float("inf"), 1e38, -1.0)])
            data = data[:start] + (values * count * size)[: end - start].ljust(end - start, b"\0") + data[end:]
        case 8:
            return _packed(*_without(header, data, dice.sample(names, dice.choice([1, 1, 2, len(names)]))))
        case 9:
            lies = [
                name + "x",
                "G.x",
                "opt_G.999999.exp_avg",
                "opt_D.-1.exp_avg",
                "opt_G.x.step",
                "",
                "\x1b[2J",
                "x" * 10**5,
            ]
            header[dice.choice(lies)] = header.pop(name)
        case 10:
            first = dice.choice(names)
            header[name], header[first] = header[first], header[name]
        case 11:
            lie = lying_json(json.dumps(header).encode(), b"{}", dice)
            return resealed(struct.pack("<Q", dice.choice([len(lie), len(lie), *EXTREMES]) % 2**64) + lie + data)
    return _packed(header, data)


def resealed(content: bytes) -> bytes:
    """The same with the digest that belongs to it, if it carries one: SHA-256 with zeros in the digest's own place."""
    found = SIGNATURE.search(content)
    if found is None:
        return content
    start, end = found.span(1)
    blank = content[:start] + b"0" * 64 + content[end:]
    return content[:start] + hashlib.sha256(blank).hexdigest().encode() + content[end:]


def without_tensors(content: bytes, prefixes: tuple[str, ...]) -> bytes:
    """A sound file without the tensors whose names begin so."""
    header, data = _unpacked(content)
    return _packed(*_without(header, data, [name for name in header if name.startswith(prefixes)]))


def _unpacked(content):
    (size,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _packed(header, data):
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return resealed(struct.pack("<Q", len(text)) + text + data)


def _without(header, data, removed):
    """Header and bytes without some tensors, closed up so that the file is sound in itself."""
    kept, parts, place = {"__metadata__": header["__metadata__"]}, [], 0
    for name, entry in header.items():
        if name not in removed and name != "__metadata__":
            start, end = entry["data_offsets"]
            kept[name] = {**entry, "data_offsets": [place, place + end - start]}
            parts.append(data[start:end])
            place += end - start
    return kept, b"".join(parts)


def _other_tensor(entry, data, dice):
    """A tensor's entry with another type, shape or place; some of them are sound in themselves."""
    start, end = entry["data_offsets"]
    shape = list(entry["shape"])
    twins = {"F32": ["I32", "U32"], "F64": ["I64", "U64"], "U8": ["I8", "BOOL"], "I64": ["F64", "U64"]}
    match dice.randrange(7):
        case 0:
            return {**entry, "dtype": dice.choice(twins.get(entry["dtype"], ["F16"]))}, data
        case 1:
            return {**entry, "shape": shape[::-1]}, data
        case 2:
            return {**entry, "shape": [end - start], "dtype": "U8"}, data
        case 3:
            return {**entry, "shape": [*shape, 1]}, data
        case 4:
            return {**entry, "dtype": dice.choice(["F16", "F8_E4M3", "F64", "BF16", "C64", "O", "", "F4"])}, data
        case 5:
            lies = [[0, 0], [0, 2**63], [end, start], [2**64 - 1, 2**64 - 1], [-1, 4], [start, end + 4], [start, start]]
            return {**entry, "data_offsets": dice.choice(lies)}, data
        case _:
            lies = [[10**12], [2**63, 2**63], [-1], [0], [2**32, 2**32], [], [1] * 5000, [*shape, 10**9]]
            return {**entry, "shape": dice.choice(lies)}, data


def _lying_config(text, dice):
    """A run's configuration that claims networks of other sizes, or anything else."""
    if dice.random() < 0.5:
        return lying_json(text.encode(), b"{}", dice).decode("utf-8", "replace")
    tree = json.loads(text)
    where, key = dice.choice(
        [(tree["architecture"], key) for key in ("z_dim", "ngf", "ndf", "head", "prior", "name")]
        + [(tree, key) for key in ("resolution", "channels", "seed")]
    )
    sizes = [0, -1, 1, 2, 3, 16, 32, 256, 1000, 10**5, 10**6, 10**9, 10**12, 2**31, 2**63, 2**64, 10**30, 1.5, True]
    where[key] = dice.choice([*sizes, "linear", "uniform", "x\ny", TERMINAL, None, {}, []])
    return json.dumps(tree)


# Formats of others.


def lying_npy(content: bytes, other: bytes, dice: Random) -> bytes:
    """A .npy file with another header: sizes, orders and types; objects are pickles."""
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    (size,) = struct.unpack_from("<H", content, 8)
    header, data = ast.literal_eval(content[10 : 10 + size].decode()), content[10 + size :]
    shape = header["shape"]
    shapes = [
        (10**12, *shape[1:]),
        (-1, *shape[1:]),
        (0, *shape[1:]),
        (),
        (len(data),),
        (2**63, 2**63),
        (2**64,),
        (True,),
    ]
    shapes += [
        shape[::-1],
        (*shape, 1),
        (shape[0] - 1, *shape[1:]),
        (shape[0] + 1, *shape[1:]),
        "x",
        None,
        (1.5,),
        (0, 2**62),
    ]
    types = [
        "O",
        "|O",
        "<f8",
        "|i1",
        "|V3",
        "|S0",
        "|V0",
        "<U1000000000",
        "|b1",
        ">u1",
        "x",
        "",
        None,
        [("a", "O")],
        "<M8[s]",
    ]
    match dice.randrange(6):
        case 0 | 1:
            header["shape"] = dice.choice(shapes)
        case 2 | 3:
            header["descr"] = dice.choice(types)
            data = dice.choice([data, pickle.dumps([Canary()])])
        case 4:
            header["fortran_order"] = dice.choice([True, 1, None, "x"])
        case 5:
            header = {key: value for key, value in header.items() if dice.random() < 0.7} | {"x": 1}
    lies = ["(" * 500 + ")" * 500, "__import__('os').mkdir('canary')", "x" * 9000, "\x00", "{'a': 1" * 50, "9" * 5000]
    text = (repr(header) if dice.random() < 0.9 else dice.choice(lies)).encode()
    version = dice.choice([b"\x01\x00"] * 5 + [b"\x02\x00", b"\x03\x00", b"\x09\x00"])
    length = dice.choice([len(text)] * 9 + [0, 65535])
    return b"\x93NUMPY" + version + length.to_bytes(2 if version == b"\x01\x00" else 4, "little") + text + data


_ZIP_FIELDS = {  # offset and size of each field
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4)),
    b"PK\x01\x02": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4),
                    (46, 4)),
    b"PK\x05\x06": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}  # fmt: skip


def lying_zip(content: bytes, other: bytes, dice: Random) -> bytes:
    """A zip archive whose lists of members say something else."""
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    lie = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 3])):
        signature = dice.choice(list(_ZIP_FIELDS))
        record = dice.choice([found.start() for found in re.finditer(re.escape(signature), content)] or [0])
        offset, size = dice.choice(_ZIP_FIELDS[signature])
        place = record + offset
        now = int.from_bytes(lie[place : place + size], "little")
        number = dice.choice([*EXTREMES, now + 1, now - 1, 0o120777 << 16, 0o020777 << 16, 8, 12, 14, 93, len(content)])
        words = [b"../x", b"/x/y", b"C:/x", b"\x1b[2J", b"\xff\xfe\x00a"]
        named = offset in (30, 46)
        lie[place : place + size] = dice.choice(words)[:4] if named else (number % 256**size).to_bytes(size, "little")
    return bytes(lie)


def lying_tar(content: bytes, other: bytes, dice: Random) -> bytes:
    """A tar archive with a header that lies under a sound checksum; compressed again where it was."""
    packed = content[:2] == b"\x1f\x8b"
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    lie = bytearray(gzip.decompress(content) if packed else content)
    for _ in range(dice.choice([1, 1, 2])):
        blocks = [place for place in range(0, len(lie) - 511, 512) if lie[place + 257 : place + 262] == b"ustar"]
        place = dice.choice(blocks or [0])
        match dice.randrange(6):
            case 0 | 1:
                sizes = [
                    b"77777777777\0",
                    b"\xff" * 12,
                    b"\x80" + b"\0" * 3 + b"\xff" * 8,
                    b"-1".ljust(12),
                    b"0" * 12,
                    b" " * 12,
                ]
                sizes += [b"\x80" + b"\0" * 9 + b"\x10\0", b"00000000777 ", b"\x80" + b"\x7f" * 11]
                lie[place + 124 : place + 136] = dice.choice(sizes)
            case 2:
                lie[place + 156] = dice.choice(b"0123456789xgXLKSVDMN\0\xff")
            case 3:
                names = [
                    b"../x.png",
                    b"/x.png",
                    b"C:\\x.png",
                    b"a\\..\\..\\b",
                    b"\xff\xfe.png",
                    b"\x1b[2J.png",
                    b"\n.png",
                    b"",
                ]
                lie[place : place + 100] = dice.choice(names).ljust(100, b"\0")
            case 4:
                lie[place + 157 : place + 257] = dice.randbytes(100)
            case 5:
                start = place + dice.randrange(345, 512)
                lie[start : place + 512] = dice.randbytes(place + 512 - start)
        lie[place + 148 : place + 156] = b" " * 8
        lie[place + 148 : place + 156] = b"%06o\0 " % sum(lie[place : place + 512])
    if dice.random() < 0.3:
        lie = bytearray(scarred(bytes(lie), other, dice))
    return gzip.compress(bytes(lie), 1, mtime=0) if packed else bytes(lie)


def lying_parquet(content: bytes, other: bytes, dice: Random) -> bytes:
    """A parquet file whose footer, which describes all of it, is damaged."""
    if dice.random() < 0.3:
        return scarred(content, other, dice)
    (size,) = struct.unpack_from("<I", content, len(content) - 8)
    start = len(content) - 8 - size
    footer = bytearray(content[start:-8])
    for _ in range(dice.choice([1, 1, 2, 3, 8])):
        place = dice.randrange(len(footer))
        match dice.randrange(4):
            case 0:
                footer[place] ^= 1 << dice.randrange(8)
            case 1:
                footer[place : place + 1] = dice.choice(
                    [b"\xff\xff\xff\xff\x0f", b"\xfe" + b"\xff" * 8 + b"\x01", b"\x00", b"\x01", b"\x80\x01"]
                )
            case 2:
                footer[place] = dice.randrange(256)
            case 3:
                footer[place] = (footer[place] + dice.choice([1, -1, 2, 16])) % 256
    length = dice.choice([len(footer)] * 9 + [0, 2**31, 2**32 - 1, len(content)])
    return content[:start] + bytes(footer) + struct.pack("<I", length) + b"PAR1"


def lying_picture(content: bytes, other: bytes, dice: Random) -> bytes:
    """A damaged image; of a PNG, chunks that lie under a sound checksum."""
    if content[:4] != b"\x89PNG" or dice.random() < 0.6:
        return scarred(content, other, dice)
    lie = bytearray(content)
    place = 8 if dice.random() < 0.6 else content.find(dice.choice([b"IDAT", b"IEND"])) - 4
    (size,) = struct.unpack_from(">I", lie, place)
    for _ in range(dice.choice([1, 2])):
        if size:
            at = place + 8 + dice.randrange(size)
            width = dice.choice([1, 4])
            number = (dice.choice(EXTREMES) % 256**width).to_bytes(width, "big")
            lie[at : min(at + width, place + 8 + size)] = number[: max(0, place + 8 + size - at)]
    lie[place + 8 + size : place + 12 + size] = struct.pack(">I", zlib.crc32(lie[place + 4 : place + 8 + size]))
    return bytes(lie)
