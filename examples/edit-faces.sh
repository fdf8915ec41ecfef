#!/bin/sh
# Find directions in latent space, from the data's attributes and without labels, and move faces along them.
#
#   examples/edit-faces.sh runs/drawn-demo-1
#
# You can set DIRECTION (one of the data's attributes; `facegan directions` lists them), SEEDS (the faces), SAMPLES (the number
# to label) and OUT (the output folder).
set -eu

run=${1:?"give a run"}
direction=${DIRECTION:-smile}
seeds=${SEEDS:-0-7}
out=${OUT:-edits}
mkdir -p "$out"

# Train a small classifier once, label samples with it, and print what else each direction moves.
facegan directions "$run" -n "${SAMPLES:-10000}" -o "$out/directions.safetensors" > "$out/directions.txt"

# One row per face, from less to more.
facegan edit "$run" --directions "$out/directions.safetensors" --seeds "$seeds" --direction "$direction:-3..3" \
    -o "$out/edit.png"

# Directions add up: the same edit, with a fixed shift along a direction of G's first layer.
facegan edit "$run" --directions "$out/directions.safetensors" --seeds "$seeds" --direction "$direction:-3..3" \
    --direction sefa-2:2 -o "$out/two.png"
