#!/bin/sh
# Every image records how it was made: read the record, and make the image again.
#
#   examples/trace-an-image.sh faces/sheet.png
#
# You can set MODEL (its run or snapshot; by default, facegan searches under runs/) and OUT (the new image, with the same
# ending). An image whose metadata were stripped by another program cannot be traced.
set -eu

image=${1:?"give an image that facegan made"}

# Print its seeds, snapshot and command, and whether the new image is the same.
# shellcheck disable=SC2086 # no argument if MODEL is not set
facegan whois "$image" ${MODEL:-} -o "${OUT:-again.${image##*.}}"
