#!/bin/bash
# Reward 1 when the answer is right, else 0. Nothing is installed here, and nothing that the agent wrote is run.
answer=""
if [ -f {{ output }} ]; then
  answer=$(head -c 100 {{ output }})
fi
echo "The answer is '$answer'."
if [ "$answer" = "{{ result }}" ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
