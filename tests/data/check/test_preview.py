import numpy as np
import pytest
from PIL import Image

from facegan.config import resolve
from facegan.data.check.preview import choose, crop_sheet, fitting_crops, network_input
from facegan.data.image.crop import NAMED_CROPS, parse_crop
from facegan.data.open import open_source
from facegan.data.packed import load as packed
from facegan.errors import DataError

CELL, GAP, MARGIN = 128, 6, 12


def chosen_from(source, *settings, num=64, num_originals=64, resolution=16, channels=3, seed=0):
    data = resolve(flags={"data": {"source": str(source)}}, settings=settings).data
    return choose(
        open_source(data),
        data,
        num=num,
        num_originals=num_originals,
        resolution=resolution,
        channels=channels,
        seed=seed,
    )


def bytes_of(chosen):
    return [image.tobytes() for image in chosen.originals]


def cells(sheet, row, num):
    """The places of a row of the sheet, counted from the bottom."""
    top = len(sheet) - MARGIN - (row + 1) * (CELL + GAP) + GAP
    lefts = [MARGIN + column * (CELL + GAP) for column in range(num)]
    return [sheet[top : top + CELL, left : left + CELL] for left in lefts]


def test_choice_depends_on_the_seed_and_shows_no_image_twice(folder):
    root = folder(*(f"{number}.png" for number in range(20)))
    one, again, other = (bytes_of(chosen_from(root, num=12, num_originals=12, seed=seed)) for seed in (0, 0, 1))
    assert one == again != other
    assert len(set(one)) == 12 and len(bytes_of(chosen_from(root, num=99))) == 20


def test_choice_is_made_from_the_selected_images(folder, noise):
    root = folder("a.png", "b.png", "c.png")
    assert sorted(bytes_of(chosen_from(root, "data.limit=2"))) == sorted(noise(n).tobytes() for n in (0, 1))


def test_only_the_chosen_images_are_read(folder, monkeypatch):
    root = folder(*(f"{number}.png" for number in range(20)))
    data = resolve(flags={"data": {"source": str(root)}}).data
    opened = open_source(data)
    asked = []
    read = opened.read
    monkeypatch.setattr(opened, "read", lambda names, resolution: asked.extend(names) or read(names, resolution))
    choose(opened, data, num=3, num_originals=2, resolution=16, channels=3, seed=0)
    assert len(set(asked)) == 3 and len(asked) == 5


def test_unusable_images_are_named_and_the_others_shown(folder):
    root = folder("a.png", "b.png")
    (root / "bad\n.png").write_bytes(b"")
    Image.new("RGB", (9, 9)).save(root / "small.png")
    chosen = chosen_from(root, "data.crop=center:20")
    assert len(chosen.originals) == 2
    assert sorted(chosen.unusable) == [
        ("bad\\n.png", "not an image (it begins like an empty file)"),
        ("small.png", "the image (9x9) is smaller than the crop center:20"),
    ]


def test_source_of_which_nothing_can_be_used_is_refused(folder):
    root = folder("a.png", "b.png")
    with pytest.raises(DataError) as caught:
        chosen_from(root, "data.crop=center:25", seed=3)
    assert str(caught.value).startswith(f"{root}: none of the 2 chosen images can be used; ")
    assert str(caught.value).endswith(".png: the image (24x24) is smaller than the crop center:25")


@pytest.mark.parametrize(
    ("channels", "settings"),
    [(1, []), (3, ["data.crop=center:15", "data.split=heldout"]), (3, ["data.draft=true", "data.filter=box"])],
)
def test_images_are_seen_as_packing_makes_them(folder, settings, channels):
    root = folder(*(f"{number}/x.jpg" for number in range(20)), size=(50, 40))
    data = resolve(flags={"data": {"source": str(root)}}, settings=settings).data
    chosen = choose(open_source(data), data, num=99, num_originals=1, resolution=16, channels=channels, seed=0)
    seen = network_input(chosen, mirror=False, seed=0)
    trained_on = packed.load(data, resolution=16, channels=channels).images
    assert seen.dtype == np.uint8 and seen.shape == trained_on.shape
    assert sorted(each.tobytes() for each in seen) == sorted(each.tobytes() for each in np.asarray(trained_on))


@pytest.mark.parametrize("channels", [1, 3])
def test_some_images_are_mirrored_left_to_right_when_asked(folder, channels):
    chosen = chosen_from(folder(*(f"{number}.png" for number in range(20))), channels=channels)
    plain = network_input(chosen, mirror=False, seed=0)
    mixed = network_input(chosen, mirror=True, seed=0)
    flipped = [not np.array_equal(*pair) for pair in zip(plain, mixed, strict=True)]
    assert 3 < sum(flipped) < 17
    np.testing.assert_array_equal(mixed[flipped], plain[flipped][..., ::-1])


def test_packed_images_are_shown_as_they_are(store):
    chosen = chosen_from(store(5), num=5)
    seen = network_input(chosen, mirror=False, seed=0)
    pixels = np.load(store(5) / "images.npy")
    assert sorted(each.tobytes() for each in seen) == sorted(each.tobytes() for each in pixels)
    assert list(fitting_crops(chosen)) == ["none"]


def test_crops_that_fit_are_the_one_in_force_and_the_named_ones(folder):
    chosen = chosen_from(folder("a.png", "b.png", size=(178, 218)), "data.crop=center:100")
    columns = fitting_crops(chosen)
    assert list(columns) == ["center:100", *(words for words in NAMED_CROPS if words != "center:178")]
    assert columns["center:100"] == (parse_crop("center:100"), "used")
    assert columns["auto"][1] == ("the largest centre square; same as center:178 (mimicry; PyTorch's DCGAN tutorial)")


def test_named_crop_in_force_comes_first_with_whose_it_is(folder):
    chosen = chosen_from(folder("a.png", size=(250, 250)), "data.crop=center:128")
    columns = fitting_crops(chosen)
    assert list(columns) == ["center:128", *(words for words in NAMED_CROPS if words != "center:128")]
    assert columns["center:128"][1] == "used; for LFW, deep-funneled"


def test_crops_that_fit_no_image_have_no_column(folder):
    assert list(fitting_crops(chosen_from(folder("a.png", size=(130, 150))))) == ["auto", "center:128", "center:108"]


@pytest.mark.parametrize("resolution, factor", [(16, 8), (64, 2), (128, 1)])
def test_sheet_shows_each_crop_at_the_networks_size_enlarged(folder, resolution, factor):
    chosen = chosen_from(folder("a.png", "b.png", size=(150, 150)), resolution=resolution)
    sheet = crop_sheet(chosen, resolution=resolution, filter="box")
    columns = fitting_crops(chosen)
    assert list(columns) == ["auto", "center:148", "center:140", "center:128", "center:108"]
    for row, image in enumerate(reversed(chosen.originals)):
        full, *cut = cells(sheet, row, 6)
        np.testing.assert_array_equal(full, np.asarray(image.resize((CELL, CELL), Image.Resampling.LANCZOS)))
        for cell, (crop, _) in zip(cut, columns.values(), strict=True):
            small = np.asarray(crop.apply(image, resolution, "box"))
            np.testing.assert_array_equal(cell, small.repeat(factor, 0).repeat(factor, 1))


def test_sheet_at_the_largest_size_is_reduced_to_the_cell(folder):
    chosen = chosen_from(folder("a.png", size=(256, 256)), resolution=256)
    _, auto = cells(crop_sheet(chosen, resolution=256, filter="bicubic"), 0, 2)
    reduced = chosen.originals[0].resize((CELL, CELL), Image.Resampling.BOX)
    np.testing.assert_array_equal(auto, np.asarray(reduced))


def test_sheet_has_as_many_rows_as_asked_for_or_as_there_are(folder):
    root = folder("a.png", "b.png", "c.png")
    chosen = [chosen_from(root, num=2, num_originals=num) for num in (1, 2, 3, 9)]
    assert [len(each.squares) for each in chosen] == [2, 2, 2, 2]
    heights = [len(crop_sheet(each, resolution=16, filter="box")) for each in chosen]
    assert np.diff(heights).tolist() == [CELL + GAP, CELL + GAP, 0]


def test_crop_that_fits_only_some_images_leaves_a_gap_at_the_others(folder):
    root = folder("large.png", size=(130, 130))
    Image.new("RGB", (110, 110), "red").save(root / "small.png")
    chosen = chosen_from(root)
    small = [image.size for image in reversed(chosen.originals)].index((110, 110))
    sheet = crop_sheet(chosen, resolution=64, filter="box")
    assert list(fitting_crops(chosen)) == ["auto", "center:128", "center:108"]
    _, auto, refused, fits = cells(sheet, small, 4)
    assert (auto == (255, 0, 0)).all() and (fits == (255, 0, 0)).all()
    assert (refused[0, 0] == 240).all() and refused.std() > 0  # light grey with words on it
    assert cells(sheet, 1 - small, 4)[2].std() > 20
