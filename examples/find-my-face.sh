#!/bin/sh
# The faces of a run that are nearest to photos, whether it knows such faces at all, and a film from one to the next.
#
#   examples/find-my-face.sh runs/drawn-demo-1 me.jpg you.jpg
#
# CROP (auto: the largest centre square; center:N and box:X,Y,W,H for closer ones), STEPS (of the search), FRAMES (of the
# film) and OUT (where the results go) can be set before it.
set -eu

run=${1:?"give a run, and photos"}
shift
[ $# -gt 0 ] || { echo "give photos after the run" >&2; exit 2; }
out=${OUT:-found}
mkdir -p "$out"

# Each photo beside its face, and the latents of all, which stand wherever seeds do.
facegan project "$@" --model "$run" --crop "${CROP:-auto}" --steps "${STEPS:-100}" \
    -o "$out/found.png" --save "$out/found.safetensors" > "$out/found.txt"
cat "$out/found.txt"

# From photo's face to photo's face, to that of seed 0, and back to the first.
facegan interpolate "$run" --seeds "$out/found.safetensors,0" --loop --frames "${FRAMES:-60}" -o "$out/walk.gif"
