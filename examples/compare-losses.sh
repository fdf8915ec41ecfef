#!/bin/sh
# Train the same networks on the same images with two losses, and plot their curves together.
#
#   examples/compare-losses.sh
#
# You can set DATA, PRESET, STEPS, WIDTH (feature maps) and LOSSES (two or more names; `facegan plugins` lists them).
set -eu

losses=${LOSSES:-"nonsaturating saturating"}

for loss in $losses; do
    facegan train --data "${DATA:-drawn}" --preset "${PRESET:-demo}" --steps "${STEPS:-1000}" --run "runs/$loss" \
        --set loss.name="$loss" --set architecture.ngf="${WIDTH:-32}" --set architecture.ndf="${WIDTH:-32}"
done

# shellcheck disable=SC2086 # one argument per name
facegan plot $losses -o losses-compared.png
