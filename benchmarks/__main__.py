"""Runs the benchmarks that are named, or all: `python -m benchmarks [trial] [help] [index]`."""

import os
import sys

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pier_site.settings")
    django.setup()

    from benchmarks import command_start, index_rate, trial_overhead

    BENCHMARKS = {"help": command_start.main, "trial": trial_overhead.main, "index": index_rate.main}
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"there is no benchmark {unknown[0]!r}: choose from {', '.join(BENCHMARKS)}")
    for name in wanted:
        print(f"== {name}")
        BENCHMARKS[name]()
