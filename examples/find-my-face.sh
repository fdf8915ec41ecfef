#!/bin/sh
# Find the faces of a run that are nearest to photos, check whether it knows such faces, and animate a walk between them.
#
#   examples/find-my-face.sh runs/drawn-demo-1 me.jpg you.jpg
#
# You can set CROP (auto: the largest centre square; center:N and box:X,Y,W,H are closer), STEPS (of the search), FRAMES (of
# the walk) and OUT (the output folder).
set -eu

run=${1:?"give a run, and photos"}
shift
[ $# -gt 0 ] || { echo "give photos after the run" >&2; exit 2; }
out=${OUT:-found}
mkdir -p "$out"

# Each photo next to its face, and a file with all latents, which you can use like seeds.
facegan project "$@" --model "$run" --crop "${CROP:-auto}" --steps "${STEPS:-100}" \
    -o "$out/found.png" --save "$out/found.safetensors" > "$out/found.txt"
cat "$out/found.txt"

# From one photo's face to the next, to the face of seed 0, and back to the first.
facegan interpolate "$run" --seeds "$out/found.safetensors,0" --loop --frames "${FRAMES:-60}" -o "$out/walk.gif"
