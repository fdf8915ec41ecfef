#!/bin/sh
# Find directions in latent space and move faces along them: by what the data tell of each image, and without labels.
#
#   examples/edit-faces.sh runs/drawn-demo-1
#
# DIRECTION (of the data's attributes; `facegan directions` lists what it found), SEEDS (the faces), SAMPLES (to label)
# and OUT (where the results go) can be set before it.
set -eu

run=${1:?"give a run"}
direction=${DIRECTION:-smile}
seeds=${SEEDS:-0-7}
out=${OUT:-edits}
mkdir -p "$out"

# Trains a small classifier once, labels samples with it, and prints what each direction moves beside its own attribute.
facegan directions "$run" -n "${SAMPLES:-10000}" -o "$out/directions.safetensors" > "$out/directions.txt"

# A row a face, from less of it to more.
facegan edit "$run" --directions "$out/directions.safetensors" --seeds "$seeds" --direction "$direction:-3..3" \
    -o "$out/edit.png"

# Directions add up: the same, with a fixed shift along a direction of G's first layer.
facegan edit "$run" --directions "$out/directions.safetensors" --seeds "$seeds" --direction "$direction:-3..3" \
    --direction sefa-2:2 -o "$out/two.png"
