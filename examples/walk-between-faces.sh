#!/bin/sh
# Walk through latent space: an animation from face to face, several walks at once, a filmstrip, and a sheet between four faces.
#
#   examples/walk-between-faces.sh runs/drawn-demo-1
#
# You can set SEEDS (the faces, in order), CORNERS (four of them), FRAMES (of each animation) and OUT (the output folder).
set -eu

run=${1:?"give a run, or a snapshot file"}
seeds=${SEEDS:-3,14,15,92}
frames=${FRAMES:-120}
out=${OUT:-walks}

# From face to face and back to the first, in a loop.
facegan interpolate "$run" --seeds "$seeds" --frames "$frames" --fps 25 --loop -o "$out/walk.gif"

# Once around the great circle through the first face.
facegan interpolate "$run" --seeds "${seeds%%,*}" --circle --frames "$frames" -o "$out/circle.mp4"

# Sixteen walks at once, through random faces; .webp is smaller than .gif and has all colours.
facegan interpolate "$run" --grid 4x4 --seed 1 --frames "$frames" --loop -o "$out/sixteen.webp"

# As in figure 4 of the DCGAN paper: a row from each face to the next.
facegan interpolate "$run" --seeds "$seeds" -o "$out/strip.png"

# A sheet with four faces in the corners.
facegan interpolate "$run" --corners "${CORNERS:-$seeds}" -o "$out/corners.png"
