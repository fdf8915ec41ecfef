#!/bin/sh
# Go from a folder of face images to new faces, loss curves, and an animation of how the faces grew.
#
#   examples/train-on-a-folder.sh ~/Pictures/faces
#
# You can set RESOLUTION, BATCH_SIZE, EPOCHS, WIDTH (feature maps), RUN (the run's folder) and OUT (the output folder). If it is
# interrupted, continue with: facegan resume $RUN
set -eu

images=${1:?"give a folder of images, a .zip, a .tar or a .tgz"}
run=${RUN:-runs/my-faces}
out=${OUT:-my-faces}

facegan train --data "$images" --run "$run" \
    --resolution "${RESOLUTION:-64}" --batch-size "${BATCH_SIZE:-64}" --epochs "${EPOCHS:-100}" \
    --set architecture.ngf="${WIDTH:-64}" --set architecture.ndf="${WIDTH:-64}"

mkdir -p "$out"
facegan sample "$run" --seeds 0-63 -o "$out/grid.png" --separate "$out/single"
facegan plot "$run" -o "$out/losses.png" --arrays "$out"
facegan timelapse "$run" -o "$out/growth.gif"
