import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from facegan import images
from facegan.errors import ConfigError, SnapshotError
from facegan.images.animation import read_about

ABOUT = {"Software": "facegan 1", "recipe": '{"make": "walk", "seeds": [3, 14]}', "Größe": "日本"}


def ramp(height=48, width=64):
    """Smooth colours, as a face has: more of them than a palette."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256], axis=-1).astype(np.uint8)


def walk(num=6, **shape):
    """A white square that walks over a still background."""
    for number in range(num):
        frame = ramp(**shape)
        frame[4:12, 4 + 6 * number : 12 + 6 * number] = 255
        yield frame


def shown(path):
    """Every frame of a GIF or WebP as RGB, and how long it is shown, in ms."""
    frames, durations = [], []
    with Image.open(path) as animation:
        assert animation.info.get("loop", 0) == 0
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            frames.append(np.asarray(animation.convert("RGB")))
            durations.append(animation.info.get("duration"))
    return np.stack(frames), durations


@pytest.mark.parametrize(("ending", "tolerance"), [(".gif", 6), (".webp", 0)])
def test_an_animation_shows_every_frame_in_order_in_its_colours(tmp_path, ending, tolerance):
    images.save_animation(tmp_path / f"walk{ending}", walk(), fps=4)
    seen, durations = shown(tmp_path / f"walk{ending}")
    assert durations == [250] * 6
    assert np.abs(seen.astype(int) - np.stack(list(walk()))).mean() <= tolerance


@pytest.mark.parametrize(
    ("ending", "fps", "durations"),
    [
        (".gif", 30, [30, 40, 30, 30, 40, 1030]),  # 3.33 hundredths each: the ends are rounded, not the delays
        (".gif", 50, [20] * 5 + [1020]),
        (".webp", 30, [33, 34, 33, 33, 34, 1033]),
    ],
)
def test_an_animation_is_as_long_as_asked_though_its_clock_is_coarse(tmp_path, ending, fps, durations):
    images.save_animation(tmp_path / f"walk{ending}", walk(), fps=fps, hold=1.0)
    assert shown(tmp_path / f"walk{ending}")[1] == durations
    assert sum(durations) == round(1000 * (6 / fps + 1), -1 if ending == ".gif" else 0)


def test_a_gif_does_not_flicker_where_nothing_moves(tmp_path):
    images.save_animation(tmp_path / "walk.gif", walk(), fps=10)
    still = shown(tmp_path / "walk.gif")[0][:, 12:]
    assert all(np.array_equal(frame, still[0]) for frame in still)


def test_black_and_white_stay_as_they_are_in_a_gif(tmp_path):
    frames = list(walk())
    for frame in frames:
        frame[:, 56:] = 0
        frame[40:, :, :] = np.arange(192, 256)[:, None]  # greys so near to white that a coarse search confuses them
    images.save_animation(tmp_path / "walk.gif", frames, fps=10)
    for seen, frame in zip(shown(tmp_path / "walk.gif")[0], frames, strict=True):
        extreme = (frame == 0).all(axis=2) | (frame == 255).all(axis=2)
        assert extreme.sum() > 300
        assert np.array_equal(seen[extreme], frame[extreme])


def test_a_gif_has_one_palette_made_from_all_its_frames(tmp_path):
    plain = [np.full((8, 8, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    images.save_animation(tmp_path / "plain.gif", plain, fps=10)
    seen, _ = shown(tmp_path / "plain.gif")
    assert np.abs(seen.astype(int) - np.stack(plain)).max() <= 8
    content = (tmp_path / "plain.gif").read_bytes()
    blocks = content.split(b"\x21\xf9\x04")[1:]  # an image's descriptor follows its graphic control block
    assert len(blocks) == 3
    assert [block[block.index(b"\x2c") + 9] & 0x80 for block in blocks] == [0, 0, 0]  # no palette of its own


def test_grey_frames_keep_their_pixels_in_a_gif(tmp_path):
    grey = [np.arange(256, dtype=np.uint8).reshape(16, 16) // (1 + number) for number in range(3)]
    images.save_animation(tmp_path / "grey.gif", grey, fps=10)
    assert np.array_equal(shown(tmp_path / "grey.gif")[0][..., 1], np.stack(grey))


def test_a_folder_holds_every_frame_as_it_is(tmp_path):
    images.save_animation(f"{tmp_path}/walk/", walk(), fps=10, hold=5.0, about=ABOUT)
    paths = sorted((tmp_path / "walk").iterdir())
    assert [path.name for path in paths] == [f"frame-{number:08d}.png" for number in range(6)]
    for path, frame in zip(paths, walk(), strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), frame)
        assert read_about(path) == ABOUT


def test_an_empty_folder_is_filled_and_one_with_something_is_left_as_it_is(tmp_path):
    (tmp_path / "walk").mkdir()
    images.save_animation(f"{tmp_path}/walk/", walk(2), fps=10)
    before = sorted((tmp_path / "walk").iterdir())
    with pytest.raises(SnapshotError) as refusal:
        images.save_animation(f"{tmp_path}/walk/", walk(3), fps=10)
    assert str(refusal.value) == f"-o {tmp_path}/walk/: exists already; name a new folder"
    assert sorted((tmp_path / "walk").iterdir()) == before


@pytest.mark.parametrize("place", ["./", "/", "../"])
def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch, place):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ConfigError) as refusal:
        images.save_animation(place, walk(2), fps=10)
    assert str(refusal.value) == f"-o {place}: not a folder that can be made; give a new one's name and '/'"


@pytest.mark.parametrize("place", ["walk.gif", "walk.webp", "walk.mp4", "walk/"])
@pytest.mark.parametrize("about", [ABOUT, None])
def test_an_animation_carries_its_metadata(tmp_path, place, about):
    path = f"{tmp_path}/{place}"
    images.save_animation(path, walk(2), fps=10, about=about)
    assert read_about(tmp_path / place) == (about or {})


def test_the_comments_of_other_programs_are_no_metadata(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.gif", comment="made with love")
    assert read_about(tmp_path / "a.gif") == {}
    Image.new("L", (4, 4)).save(tmp_path / "a.gif", comment=json.dumps([1, 2]))
    assert read_about(tmp_path / "a.gif") == {}


@pytest.mark.parametrize("place", ["walk.gif", "walk.webp", "walk.mp4", "new/walk/"])
def test_an_interrupted_animation_leaves_nothing_and_keeps_the_file_before_it(tmp_path, place):
    def dying():
        yield from walk(3)
        raise KeyboardInterrupt

    path = tmp_path / place
    if path.suffix:
        path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        images.save_animation(f"{tmp_path}/{place}", dying(), fps=10)
    left = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert left == ([path] if path.suffix else [])
    assert not path.suffix or path.read_bytes() == b"before"


@pytest.mark.parametrize("place", ["walk.mp4", "walk/"])
def test_an_animation_is_written_while_its_frames_come(tmp_path, place):
    """Sixteen times the frames take no more memory."""
    images.save_animation(f"{tmp_path}/first-{place}", walk(1), fps=10)  # whatever is loaded once
    peaks = []
    for num in (4, 64):
        frames = (frame for _ in range(num) for frame in walk(1, height=64, width=96))
        tracemalloc.start()
        images.save_animation(f"{tmp_path}/{num}-{place}", frames, fps=10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 64 * 96 * 3 * 16


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("a.mp5", {}, "cannot write '.mp5'; end it in .gif, .webp, .mp4, /"),
        ("a", {}, "has no ending; end it in .gif, .webp, .mp4, /"),
        ("a.gif", {"fps": 51}, "cannot show 51 images a second; it must be 0.01 to 50"),
        ("a.webp", {"fps": 91}, "cannot show 91 images a second; it must be 0.01 to 90"),
        ("a.mp4", {"fps": float("nan")}, "cannot show nan images a second; it must be 0.01 to 120"),
        ("a.mp4", {"fps": 0}, "cannot show 0 images a second; it must be 0.01 to 120"),
    ],
)
def test_an_unknown_ending_or_speed_is_refused(tmp_path, place, options, message):
    with pytest.raises(ConfigError) as refusal:
        images.save_animation(tmp_path / place, walk(), **{"fps": 10, **options})
    assert str(refusal.value) == f"-o {tmp_path / place}: {message}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("place", "width", "most"), [("a.mp4", 8193, "8,192"), ("a.webp", 16384, "16,383")])
def test_frames_too_large_for_a_format_are_refused(tmp_path, place, width, most):
    with pytest.raises(ConfigError) as refusal:
        images.save_animation(tmp_path / place, [np.zeros((2, width), np.uint8)], fps=1)
    ending = place.removeprefix("a")
    assert str(refusal.value) == f"-o {tmp_path / place}: {width:,} x 2 pixels; {ending} takes {most} a side"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["a.gif", "a.mp4"])
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "an animation needs at least one frame"),
        ([ramp(8, 8), ramp(8, 10)], r"an animation's frames have one shape \(given \(8, 8, 3\) and \(8, 10, 3\)\)"),
    ],
)
def test_frames_of_two_shapes_or_none_are_a_mistake(tmp_path, place, frames, message):
    with pytest.raises(ValueError, match=message):
        images.save_animation(tmp_path / place, frames, fps=1)
    assert list(tmp_path.iterdir()) == []


def test_an_animation_of_one_frame_is_that_frame(tmp_path):
    images.save_animation(tmp_path / "one.gif", walk(1), fps=1)
    assert len(shown(tmp_path / "one.gif")[0]) == 1
