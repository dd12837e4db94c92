"""Run one query on orders.db and print the rows as CSV with a header: query.py "SELECT …"."""

import csv
import sqlite3
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if len(sys.argv) != 2:
    sys.exit((HERE / "schema.sql").read_text(encoding="ascii"))
rows = sqlite3.connect(f"file:{HERE / 'orders.db'}?mode=ro", uri=True).execute(sys.argv[1])
writer = csv.writer(sys.stdout, lineterminator="\n")
writer.writerow(column[0] for column in rows.description)
writer.writerows(rows)
