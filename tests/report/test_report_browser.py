"""The page in a browser, where there is one; what it holds is tested without."""

import html
import json
import re
import shutil
import subprocess

import pytest

from facegan.report import write_report

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
USE = """<script>
const seen = [], slider = document.getElementById("slider"), drawing = document.querySelector("svg");
const press = (element, key) => element.dispatchEvent(new KeyboardEvent("keydown", { key }));
const look = () => seen.push([
  document.getElementById("caption").textContent,
  [...document.querySelectorAll("#stage img")].filter((image) => !image.hidden).map((image) => image.alt),
  document.getElementById("play").textContent,
]);
look();
slider.value = 1; slider.dispatchEvent(new Event("input")); look();
press(slider, " "); look();
press(drawing, "ArrowLeft"); press(drawing, "ArrowLeft"); seen.push(document.getElementById("read-0").textContent);
setTimeout(() => { look(); document.body.textContent = JSON.stringify(seen); }, 7000);
</script>"""


@pytest.mark.integration
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_slider_plays_through_the_grids_and_the_curves_tell_their_values(make, tmp_path):
    run = make(ticks=range(1, 13), grids=(0, 6, 12))
    page = tmp_path / "report.html"
    write_report(run, page, commands=lambda found: [])
    page.write_text(page.read_text().replace("</body>", f"{USE}</body>"))
    options = "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"
    done = subprocess.run(
        [BROWSER, *options, "--virtual-time-budget=9000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    seen = json.loads(html.unescape(re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)[1]))
    captions = [f"step {step}   epoch {step / 4:.2f}   {kimg} kimg" for step, kimg in ((6, "0.10"), (12, "0.19"))]
    middle, last = ([caption, [f"Grid of generated faces, {caption}"]] for caption in captions)
    assert seen == [[*last, "Play"], [*middle, "Play"], [*middle, "Pause"], "step 11: 1, 3.1", [*last, "Play"]]
