#!/bin/bash
# Half of the reward for the version, half for the notes; check.py writes the reward file.
python3 -I /tests/check.py
