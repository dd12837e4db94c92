#!/bin/bash
# Reward 1 when the saved page is the one of example.com and its title was taken from it, else 0.
if python3 -I /tests/check.py; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
