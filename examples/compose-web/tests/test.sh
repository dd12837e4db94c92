#!/bin/bash
# Reward 1 when every sum is right, else 0. The service is not asked again.
if python3 -I /tests/check.py; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
