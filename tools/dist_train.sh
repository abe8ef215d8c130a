#!/usr/bin/env bash
# Train on several processes: bash tools/dist_train.sh CONFIG GPUS [flags of train.py]
# One machine: a free port is chosen. Several: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
launch train.py "$@"
