#!/bin/bash
# check.py reads CHECK_TAX_PERCENTS and CHECK_CURRENCY, which task.toml gives to the verifier, and prints what failed.
if python3 -I /tests/check.py; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
