#!/bin/bash
# Reward 1 when the collected list is exactly the expected one, else 0.
if python3 -I /tests/check.py; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
