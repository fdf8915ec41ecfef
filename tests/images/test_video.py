import av
import numpy as np
import pytest

from facegan import images
from facegan.images import animation


def decoded(path):
    """The stream's description, its seconds, and every frame as RGB 0...255, by the equations of BT.709."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        planes = np.stack([frame.to_ndarray() for frame in container.decode(stream)]).astype(float)
        height, width = stream.height, stream.width
        y = (planes[:, :height] - 16) / 219
        blue, red = (
            ((part.reshape(-1, height // 2, width // 2) - 128) / 224).repeat(2, 1).repeat(2, 2)
            for part in np.split(planes[:, height:].reshape(len(planes), -1), 2, axis=1)
        )
        r, b = y + 1.5748 * red, y + 1.8556 * blue
        g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
        return stream, float(container.duration / av.time_base), 255 * np.stack([r, g, b], axis=-1)


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


def test_a_full_disk_is_an_error_with_the_name_of_the_file(tmp_path, monkeypatch):
    def fill(pixels):
        raise av.error.OSError(28, "No space left on device", f"{tmp_path}/temporary")

    monkeypatch.setattr(animation, "_frame", fill)
    with pytest.raises(OSError, match="No space left on device") as failure:
        images.save_animation(tmp_path / "a.mp4", [patches()] * 60, fps=10)
    assert failure.value.filename == str(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_give_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 256, (2, 13, 13, 3)).repeat(4, 1).repeat(4, 2)
    frames = [(ends[0] * (1 - t) + ends[1] * t).astype(np.uint8) for t in np.linspace(0, 1, 12)]
    contents = set()
    for number in range(4):
        junk = [rng.integers(0, 255, 977 * size + 5000, dtype=np.uint8) for size in range(50)]  # left in the memory
        del junk
        path = tmp_path / f"{number}.mp4"
        images.save_animation(path, frames, fps=25)
        contents.add(path.read_bytes())
    assert len(contents) == 1
