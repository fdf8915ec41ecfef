#!/bin/sh
# Does a run memorise? Show its faces next to their nearest training images, and compare with held-out images.
#
#   examples/look-for-copies.sh runs/drawn-demo-1
#
# The measure needs a run with held-out images: facegan train --set data.split=train. You can set SEEDS (the faces shown),
# SAMPLES (the number measured) and OUT (the output image, which contains training images).
set -eu

run=${1:?"give a run"}

facegan neighbours "$run" --seeds "${SEEDS:-0-7}" -n "${SAMPLES:-2000}" -o "${OUT:-neighbours.png}"
