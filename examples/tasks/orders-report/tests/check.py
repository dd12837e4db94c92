"""Grade the report and the query. The databases are made anew: the one in /app belongs to the agent."""

import csv
import io
import sqlite3
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

REPORT = Path("/app/report")
HEADER = ["customer", "orders", "revenue_cents"]


def make_database(folder: str, seed: int) -> sqlite3.Connection:
    path = f"{folder}/{seed}.db"
    subprocess.run([sys.executable, "-I", "/tests/make_database.py", path, str(seed)], check=True)
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def expected_rows(database: sqlite3.Connection) -> list[list[str]]:
    """The report, computed without the joins that multiply rows."""
    names = dict(database.execute("SELECT id, name FROM customers"))
    revenue_of_order = defaultdict(int)
    for order, quantity, price in database.execute("SELECT order_id, quantity, unit_price_cents FROM items"):
        revenue_of_order[order] += quantity * price
    for order, amount in database.execute("SELECT order_id, amount_cents FROM refunds"):
        revenue_of_order[order] -= amount
    orders, revenue = defaultdict(int), defaultdict(int)
    for order, customer, placed_at, status in database.execute("SELECT id, customer_id, placed_at, status FROM orders"):
        if placed_at.startswith("2025-") and status != "cancelled":
            orders[names[customer]] += 1
            revenue[names[customer]] += revenue_of_order[order]
    ranking = sorted(orders, key=lambda name: (-revenue[name], name))
    return [HEADER, *([name, str(orders[name]), str(revenue[name])] for name in ranking)]


def check_report(database: sqlite3.Connection) -> str | None:
    found = list(csv.reader(io.StringIO((REPORT / "revenue.csv").read_text(encoding="utf-8"))))
    expected = expected_rows(database)
    return None if found == expected else f"expected {expected}, found {found}"


def check_query(database: sqlite3.Connection) -> str | None:
    rows = database.execute((REPORT / "revenue.sql").read_text(encoding="utf-8"))
    found = [[column[0] for column in rows.description or []], *([str(value) for value in row] for row in rows)]
    expected = expected_rows(database)
    return None if found == expected else f"expected {expected}, found {found}"


def main() -> None:
    reward = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for what, check, seed in (("revenue.csv", check_report, 7), ("revenue.sql", check_query, 1951)):
            database = make_database(folder, seed)
            try:
                reason = check(database)
            except (OSError, ValueError, sqlite3.Error) as error:
                reason = f"{type(error).__name__}: {error}"
            reward += 0 if reason else 0.5
            print(f"FAIL {what}: {reason}" if reason else f"ok   {what}")
    Path("/logs/verifier/reward.txt").write_text(f"{reward}\n", encoding="ascii")


main()
