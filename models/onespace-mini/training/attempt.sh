#!/usr/bin/env bash
# One attempt on a machine with a GPU, in under 25 minutes: trains (or goes on), measures, leaves the checkpoint, the
# log and the measurements in work/. Run it again to go on; the schedule spans MINUTES of training over all attempts.
#
#   MINUTES=80 ./attempt.sh
#   MINUTES=2 ATTEMPT=1 ENTRIES=64 PHOTOGRAPHED=32 NAME=trial ./attempt.sh    two short ones try it out on a CPU
#
# Needs work/data (npm run data, npm run photos), PyTorch, numpy and onnx.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
name=${NAME:-gpu}
"$python" train.py --name "$name" --minutes "${MINUTES:-18}" --stop-after "${ATTEMPT:-18}" \
  --entries "${ENTRIES:-1024}" --photographed "${PHOTOGRAPHED:-220}" --layers "${LAYERS:-6}"
"$python" -m evaluation.evaluate --checkpoint "work/$name.pt" --previous ../EVALUATION.md --output "work/$name-evaluation.md"
