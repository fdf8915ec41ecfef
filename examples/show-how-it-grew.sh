#!/bin/sh
# Show a run to others: an animation of the same latents through training, and a report in one file.
#
#   examples/show-how-it-grew.sh runs/drawn-demo-1
#
# You can set SECONDS_LONG (of the animation) and OUT (the output folder).
set -eu

run=${1:?"give a run"}
out=${OUT:-growth}
mkdir -p "$out"

# Each image has its step and epoch below it; .gif and .webp work as well.
facegan timelapse "$run" --seconds "${SECONDS_LONG:-10}" -o "$out/growth.mp4"

# Settings, curves, a slider over the grids: opens in any browser, without other files or a network.
facegan report "$run" -o "$out/report.html"
