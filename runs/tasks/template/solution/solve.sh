#!/bin/bash
set -euo pipefail

sum=0
while read -r number; do
  sum=$((sum + number))
done < /app/numbers.txt
echo $((sum * {{ factor }})) > {{ output }}
