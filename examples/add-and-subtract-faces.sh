#!/bin/sh
# Arithmetic on faces, as in the DCGAN paper: what some faces have, others lack, and a third kind is to get.
#
#   examples/add-and-subtract-faces.sh runs/drawn-demo-1
#
# WITH, WITHOUT and ONTO (each about three seeds, chosen from a labelled sheet: see draw-faces.sh) and OUT (where the
# results go) can be set before it.
set -eu

run=${1:?"give a run, or a snapshot file"}
out=${OUT:-arithmetic}
mkdir -p "$out"

# For instance faces with long hair, less faces of the same kind with short hair, plus others with short hair: those get
# long hair. Which seeds have what, is another matter in each run.
facegan arithmetic "$run" --plus "${WITH:-48,38,112}" --minus "${WITHOUT:-14,31,71}" --plus "${ONTO:-46,99,70}" \
    -o "$out/sum.png" --save "$out/sum.safetensors"

# The sum's latent is taken wherever seeds are: here beside the faces that it was made onto.
facegan sample "$run" --seeds "${ONTO:-46,99,70},$out/sum.safetensors" --labels --rows 1 -o "$out/beside.png"
