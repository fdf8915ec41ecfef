#!/bin/sh
# Add and subtract faces, as in the DCGAN paper: take what some faces have and others lack, and give it to a third kind.
#
#   examples/add-and-subtract-faces.sh runs/drawn-demo-1
#
# You can set WITH, WITHOUT and ONTO (about three seeds each, chosen from a labelled sheet: see draw-faces.sh) and OUT (the
# output folder).
set -eu

run=${1:?"give a run, or a snapshot file"}
out=${OUT:-arithmetic}
mkdir -p "$out"

# For example: faces with long hair, minus similar faces with short hair, plus others with short hair, which get long hair.
# Which seeds have which hair differs from run to run.
facegan arithmetic "$run" --plus "${WITH:-48,38,112}" --minus "${WITHOUT:-14,31,71}" --plus "${ONTO:-46,99,70}" \
    -o "$out/sum.png" --save "$out/sum.safetensors"

# Use the latent of the sum like a seed: here next to the faces it was added to.
facegan sample "$run" --seeds "${ONTO:-46,99,70},$out/sum.safetensors" --labels --rows 1 -o "$out/compared.png"
