#!/bin/sh
# Every image knows how it was made: ask one, and have it made again.
#
#   examples/trace-a-image.sh faces/sheet.png
#
# MODEL (its run or snapshot; by default it is looked for under runs/) and OUT (the image made again, of the same
# ending) can be set before it. What went through programs that strip metadata cannot be traced.
set -eu

image=${1:?"give an image that facegan made"}

# Its seeds, its snapshot, its command, and whether it comes out the same.
# shellcheck disable=SC2086 # no argument where MODEL is not set
facegan whois "$image" ${MODEL:-} -o "${OUT:-again.${image##*.}}"
