#!/bin/sh
# Does a run memorise? Its faces beside the training images nearest to them, and a measure against images unseen.
#
#   examples/look-for-copies.sh runs/drawn-demo-1
#
# For the measure, a run must have left images out: facegan train --set data.split=train. SEEDS (the faces shown),
# SAMPLES (how many are measured) and OUT (the image; it has training images in it) can be set before it.
set -eu

run=${1:?"give a run"}

facegan neighbours "$run" --seeds "${SEEDS:-0-7}" -n "${SAMPLES:-2000}" -o "${OUT:-neighbours.png}"
