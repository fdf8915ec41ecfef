import subprocess
import sys

import av
import numpy as np
import pytest

from facegan import images


def decoded(path):
    """The stream's description, and every frame as RGB of the colours it says it has."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        frames = [frame.reformat(format="rgb24", src_colorspace=frame.colorspace) for frame in film.decode(stream)]
        return stream, float(film.duration / av.time_base), np.stack([frame.to_ndarray() for frame in frames])


def patches():
    """Large patches of plain colours: black, white, grey, primaries, and skin."""
    colours = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255), (224, 172, 138)]
    return np.kron(np.array([colours], np.uint8), np.ones((32, 32, 1), np.uint8))


def test_an_mp4_is_what_browsers_play(tmp_path):
    images.save_animation(tmp_path / "a.mp4", [patches()] * 5, fps=10)
    stream, seconds, frames = decoded(tmp_path / "a.mp4")
    context = stream.codec_context
    assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)  # BT.709
    assert context.color_range == 1  # limited
    assert (stream.average_rate, len(frames), seconds) == (10, 5, 0.5)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index is at the beginning


def test_an_mp4_shows_the_colours_of_its_frames(tmp_path):
    images.save_animation(tmp_path / "a.mp4", [patches()] * 3, fps=10)
    _, _, frames = decoded(tmp_path / "a.mp4")
    middles = frames[:, 8:24].reshape(3, 16, 7, 32, 3)[:, :, :, 8:24].mean(axis=(1, 3))
    assert np.abs(middles - patches()[0, 16::32].astype(int)).max() <= 3


@pytest.mark.parametrize(("fps", "hold", "held"), [(10, 1.5, 15), (2.5, 1.0, 2), (30, 0.0, 0)])
def test_an_mp4_holds_its_last_frame(tmp_path, fps, hold, held):
    frames = [np.full((16, 16, 3), level, np.uint8) for level in (0, 128, 255)]
    images.save_animation(tmp_path / "a.mp4", frames, fps=fps, hold=hold)
    stream, seconds, seen = decoded(tmp_path / "a.mp4")
    assert float(stream.average_rate) == fps
    assert seconds == pytest.approx((3 + held) / fps, abs=0.01)
    assert np.abs(seen.mean(axis=(1, 2, 3)) - [0, 128, 255, *[255] * held]).max() <= 3


def test_an_odd_side_gains_a_repeated_row_and_nothing_is_scaled(tmp_path):
    frame = np.kron(np.random.default_rng(0).integers(0, 256, (5, 7)), np.ones((3, 3))).astype(np.uint8)
    images.save_animation(tmp_path / "a.mp4", [frame], fps=1)  # grey, 15 x 21
    _, _, (seen,) = decoded(tmp_path / "a.mp4")
    assert seen.shape == (16, 22, 3)
    wanted = np.pad(frame, ((0, 1), (0, 1)), mode="edge").astype(int)
    assert np.abs(seen[:, :, 1] - wanted).max() <= 16


def test_pictures_are_handled_without_the_library_for_films():
    code = "import sys, facegan.images; print('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_the_same_frames_are_the_same_film_to_the_byte(tmp_path):
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 256, (2, 13, 13, 3)).repeat(4, 1).repeat(4, 2)
    frames = [(ends[0] * (1 - t) + ends[1] * t).astype(np.uint8) for t in np.linspace(0, 1, 12)]
    films = set()
    for number in range(6):
        junk = [rng.integers(0, 255, 977 * size + 5000, dtype=np.uint8) for size in range(50)]  # left in the memory
        del junk
        path = tmp_path / f"{number}.mp4"
        images.save_animation(path, frames, fps=25)
        films.add(path.read_bytes())
    assert len(films) == 1
