#!/bin/bash
set -euo pipefail

cd /app
python3 /solution/summarise.py
cat summary.json
