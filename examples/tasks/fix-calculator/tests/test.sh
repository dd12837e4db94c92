#!/bin/bash
# Reward 1 when every test passes, else 0. Nothing is installed here: pytest is part of the image.
cd /tests || exit 1
if python3 -I -m pytest -v /tests/test_calculator.py; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
