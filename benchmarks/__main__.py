"""Runs the benchmarks that are named: `python -m benchmarks [help] [trial] [index] [memory] [reading] [...]`.

Without a name all are run but `peers` and `reading-peers`, which install Pier (300 MB), and Harbor and Inspect too.
"""

import os
import sys

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pier_site.settings")
    django.setup()

    from benchmarks import (
        command_start,
        critiques,
        following,
        index_rate,
        memory,
        reading,
        reading_peers,
        trial_overhead,
        versus_peers,
    )

    BENCHMARKS = {
        "help": command_start.main,
        "trial": trial_overhead.main,
        "index": index_rate.main,
        "memory": memory.main,
        "reading": reading.main,
        "following": following.main,
        "critiques": critiques.main,
        "peers": versus_peers.main,
        "reading-peers": reading_peers.main,
    }
    wanted = sys.argv[1:] or [name for name in BENCHMARKS if "peers" not in name]
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"there is no benchmark {unknown[0]!r}: choose from {', '.join(BENCHMARKS)}")
    for name in wanted:
        print(f"== {name}")
        BENCHMARKS[name]()
