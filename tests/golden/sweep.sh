#!/bin/sh
# The trials that are kept here: `sh tests/golden/sweep.sh RESULTS` from the repository's root.
set -e
results="--results $1 --yes"
few="--set data.limit=96 $results"
# shellcheck disable=SC2086  # one word for each option
{
  python sweeps/ablation_backbones.py --smoke $results
  python sweeps/ablation_layers.py $few
  python sweeps/compare_crisismmd.py --dataset packaged $few
  python sweeps/compare_food101_mmimdb.py --dataset packaged --seeds 0 1 $few
  python sweeps/ablation_layers.py --rows cnn me_cnn-1-4 --search 6 $few
}
