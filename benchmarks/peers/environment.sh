#!/usr/bin/env bash
# Makes a virtual environment in DIR for the PyTorch side of the benchmarks:
#
#     bash benchmarks/peers/environment.sh DIR
#
# Python 3.11; torch.compile also needs a C++ compiler. If pip does not find the CPU
# build of torch, set PIP_INDEX_URL or PIP_FIND_LINKS; any build of this version works,
# because these benchmarks use the CPU only.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "Usage: bash benchmarks/peers/environment.sh DIR" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
"${PYTHON:-python3}" -m venv "$1"
"$1/bin/pip" install --quiet --requirement "$here/requirements.txt"
"$1/bin/python" -c 'import torch; print(f"torch {torch.__version__} is ready")'
