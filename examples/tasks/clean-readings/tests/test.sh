#!/bin/bash
# check.py writes reward.json: `reward` is 1 only when every figure is right, `partial` is their share.
python3 -I /tests/check.py
