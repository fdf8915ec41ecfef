"""A short run of the fuzzer over everything that facegan reads, and proof that it sees each kind of defect."""

import os
import re
import signal
import sys
from dataclasses import replace

import pytest

if sys.platform != "linux":
    pytest.skip("the fuzzer limits memory as Linux does", allow_module_level=True)

import fuzz_mutations
from fuzz_loaders import Loader, loaders
from fuzzing import DEFECT, LOADED, REFUSED, fuzz, load_sound, table

from campaign import short_and_long
from facegan.errors import DataError

KINDS = (
    "snapshot", "state", "config toml", "config json", "metrics", "packed images.npy", "packed index.json",
    "packed pictures.parquet", "packed skipped.json", "pictures", "zip", "tar", "tgz", "parquet", "attributes.csv",
    "list_attr_celeba.txt", "list_attr_celeba.csv", "list_eval_partition.txt", "list_eval_partition.csv",
    "identity_CelebA.txt", "download record", "download note", "download part", "weights zip", "weights zip bytes",
    "weights older", "weights safetensors", "facegan sample",
    "facegan resume (states)", "facegan resume (metrics.jsonl)", "facegan plot", "facegan timelapse",
    "facegan train --dry-run",
)  # fmt: skip


# Defects of libraries that a long campaign meets: about one in a thousand damaged parquet files ends the process
# inside Arrow, and rarely a forged archive of weights asks torch for too much memory (docs/reliability.md).
KNOWN = {
    "parquet": "the process dies",
    "packed pictures.parquet": "the process dies",
    "weights zip": "asked for more memory",
    "weights zip bytes": "asked for more memory",
}


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("fuzz")
        patch.setenv("FACEGAN_CACHE", str(folder / "cache"))
        yield loaders(folder)


@pytest.fixture(autouse=True)
def cache():
    """The loaders' own."""


def test_no_loader_is_left_out(every):
    assert set(every) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_loaded(every, kind, tmp_path):
    load_sound(every[kind], tmp_path / "work")


@pytest.mark.parametrize("num_inputs", short_and_long(30, "CAMPAIGN_INPUTS", 2000))
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_and_forged_files_are_loaded_or_refused_in_one_line(every, kind, num_inputs):
    loader = every[kind]
    num_inputs = max(2, num_inputs // loader.cost)
    tally = fuzz(loader, range(num_inputs), seed=0)
    known = [words for _, words in tally.defects if kind in KNOWN and KNOWN[kind] in words]
    assert len(tally.defects) == len(known) <= num_inputs // 400, table(kind, tally, 0)
    assert tally.counts.total() == num_inputs
    if loader.cost == 1:  # damage shows
        assert tally.counts[REFUSED] > 0
    if loader.cost == 1 and kind != "download part":  # and not all of it is fatal where no checksum is known
        assert tally.counts[LOADED] > 0


@pytest.fixture
def probe():
    """probe(load) -> what the fuzzer says of a loader that does this with whatever it is given."""

    def make(load, **changes):
        loader = Loader("probe", {"x": b"sound"}, ("x",), fuzz_mutations.scarred, load)
        tally = fuzz(replace(loader, **changes), range(2), seed=0)
        assert tally.counts.total() == 2
        return [verdict for verdict, count in tally.counts.items() for _ in range(count)], "; ".join(
            words for _, words in tally.defects
        )

    return make


def complain(message):
    def load(path):
        raise DataError(message)

    return load


def test_refusal_in_one_line_is_no_defect(probe):
    assert probe(complain("x: is wrong; mend it")) == ([REFUSED] * 2, "")
    assert probe(lambda path: path.read_bytes()) == ([LOADED] * 2, "")


@pytest.mark.parametrize("message", ["two\nlines", "\x1b[2J", "\ud800"])
def test_message_that_is_no_line_is_a_defect(probe, message):
    def load(path):  # a FaceganError escapes such signs by itself
        raise OSError(5, message, "x")

    for verdicts, words in (probe(load), probe(complain(""))):
        assert verdicts == [DEFECT] * 2 and "an empty message, or one with signs" in words


def test_endless_message_is_a_defect(probe):
    assert "a message of 9999 characters" in probe(complain("x" * 9999))[1]


def test_foreign_exception_is_a_defect_and_named_with_its_place(probe):
    assert re.search(r"ZeroDivisionError: .* at test_fuzzing.py:\d+", probe(lambda path: 1 // 0)[1])


def test_large_allocation_is_a_defect_also_when_it_was_put_into_words(probe):
    def load(path):
        try:
            bytearray(2**30)  # more than earlier tests may have left free in this process
        except MemoryError:
            raise DataError("x: too large; give less") from None

    verdicts, words = probe(load, budget_bytes=2**28)
    assert verdicts == [DEFECT] * 2 and "asked for more memory than there may be" in words
    assert probe(load, budget_bytes=2**33)[0] == [LOADED] * 2


def test_endless_loop_is_a_defect(probe):
    def load(path):
        left, _ = signal.getitimer(signal.ITIMER_PROF)
        assert left > 0
        signal.setitimer(signal.ITIMER_PROF, 1e-3)  # the rest of the budget; it runs out inside the loop
        while True:
            pass

    assert "hangs at test_fuzzing.py" in probe(load)[1]


def test_process_that_dies_is_a_defect_of_one_input(probe):
    def load(path):
        os.kill(os.getpid(), signal.SIGSEGV)

    assert probe(load)[0] == [DEFECT] * 2


def test_what_a_library_prints_is_a_defect_unless_it_is_known(probe):
    def load(path):
        os.write(2, b"libtiff: a remark\n")

    assert "prints: libtiff: a remark" in probe(load)[1]
    assert probe(load, noise=re.compile(b"libtiff: .*"))[0] == [LOADED] * 2


def test_pickle_that_is_loaded_is_a_defect(probe):
    def load(path):
        __import__("pickle").loads(path.read_bytes())

    forged = __import__("pickle").dumps(fuzz_mutations.Canary())
    assert "runs code of the file" in probe(load, mutate=lambda *_: forged)[1]


def test_every_kind_of_mutation_changes_its_file_and_is_the_same_for_the_same_seed(every):
    from fuzzing import mutant

    for loader in every.values():
        inputs = [mutant(loader, 0, number) for number in range(20)]
        assert inputs == [mutant(loader, 0, number) for number in range(20)]
        assert len({content for name, content in inputs if content != loader.files[name]}) > 10


def test_forged_file_carries_the_digest_of_what_it_says():
    import hashlib

    blank = b'..."digest":"%s"...' % (b"0" * 64)
    sealed = fuzz_mutations.resealed(blank)
    digest = fuzz_mutations.SIGNATURE.search(sealed)[1]
    assert digest.decode() == hashlib.sha256(blank).hexdigest()
    assert fuzz_mutations.resealed(sealed.replace(b"...", b"!!!")) != sealed.replace(b"...", b"!!!")
    assert fuzz_mutations.resealed(b"no digest") == b"no digest"


def test_command_repeats_an_input(every):
    first = fuzz(every["zip"], range(5), seed=3)
    again = fuzz(every["zip"], range(3, 5), seed=3)
    assert again.counts.total() == 2 and not (again.refusals - first.refusals)
