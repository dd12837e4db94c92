#!/bin/bash
set -euo pipefail

cp "$SOLUTION_FILE" /app/price.py
python3 /app/price.py 1000
