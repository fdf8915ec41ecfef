#!/bin/sh
# A run to show to others: a film of the same latents through training, and a report that is one file.
#
#   examples/show-how-it-grew.sh runs/drawn-demo-1
#
# SECONDS_LONG (of the film) and OUT (where the results go) can be set before it.
set -eu

run=${1:?"give a run"}
out=${OUT:-growth}
mkdir -p "$out"

# Under each image stand its step and epoch; .gif and .webp work as well.
facegan timelapse "$run" --seconds "${SECONDS_LONG:-10}" -o "$out/growth.mp4"

# Settings, curves, a slider over the grids: opens in any browser, needs no other file and no network.
facegan report "$run" -o "$out/report.html"
