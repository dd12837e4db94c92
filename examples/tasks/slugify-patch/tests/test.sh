#!/bin/bash
# Grades /logs/artifacts/model.patch on the pristine copy in /app. If the grader itself breaks, neither reward file
# exists, and the trap writes -1: a crash of the verifier, not a score.
set -uo pipefail
trap '[ -f /logs/verifier/reward.json ] || [ -f /logs/verifier/reward.txt ] || echo -1 > /logs/verifier/reward.txt' EXIT

mkdir -p /logs/verifier
python3 -I /tests/grader.py 2>&1 | tee /logs/verifier/run.log
