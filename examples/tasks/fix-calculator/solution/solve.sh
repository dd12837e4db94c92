#!/bin/bash
set -euo pipefail

cd /app
git apply /solution/fix.patch
git -c user.name="Oracle" -c user.email="oracle@example.com" commit --quiet --all --message "Fix subtract, divide and average"
git log --oneline --stat -1
