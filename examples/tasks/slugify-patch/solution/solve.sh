#!/bin/bash
set -euo pipefail

cd /app
git apply /solution/solution.patch
python3 -m unittest discover tests
git status --short
