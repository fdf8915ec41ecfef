#!/bin/sh
# Every picture knows how it was made: ask one, and have it made again.
#
#   examples/trace-a-picture.sh faces/sheet.png
#
# MODEL (its run or snapshot; by default it is looked for under runs/) and OUT (the picture made again, of the same
# ending) can be set before it. What went through programs that strip metadata cannot be traced.
set -eu

picture=${1:?"give a picture that facegan made"}

# Its seeds, its snapshot, its command, and whether it comes out the same.
# shellcheck disable=SC2086 # no argument where MODEL is not set
facegan whois "$picture" ${MODEL:-} -o "${OUT:-again.${picture##*.}}"
