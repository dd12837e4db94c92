"""Fill a database with orders: make_database.py PATH SEED. The same seed gives the same rows."""

import random
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

NAMES = ("Abel", "Bina", "Chidi", "Dagny", "Emre", "Farah", "Goran", "Hana", "Ilse", "Jonas", "Kavya", "Luca")
START = datetime(2024, 10, 1, 12, tzinfo=UTC)


def fill(database: sqlite3.Connection, seed: int) -> None:
    chosen = random.Random(seed)
    database.executemany("INSERT INTO customers (name) VALUES (?)", [(name,) for name in NAMES])
    for order in range(1, 241):
        placed_at = START + timedelta(hours=chosen.randrange(24 * 540))
        status = chosen.choice(("open", "shipped", "shipped", "shipped", "cancelled"))
        # The last customer orders only what does not count.
        customer = chosen.randrange(1, len(NAMES) + 1)
        status = "cancelled" if customer == len(NAMES) else status
        row = (order, customer, placed_at.strftime("%Y-%m-%dT%H:%M:%SZ"), status)
        database.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", row)
        items = [(order, chosen.randint(1, 5), chosen.randint(100, 9900)) for _ in range(chosen.randint(1, 4))]
        database.executemany("INSERT INTO items (order_id, quantity, unit_price_cents) VALUES (?, ?, ?)", items)
        refunds = [(order, chosen.randint(50, 2000)) for _ in range(chosen.choice((0, 0, 0, 1, 2)))]
        database.executemany("INSERT INTO refunds (order_id, amount_cents) VALUES (?, ?)", refunds)


def main(path: str, seed: int) -> None:
    database = sqlite3.connect(path)
    database.executescript(Path(__file__).with_name("schema.sql").read_text(encoding="ascii"))
    fill(database, seed)
    database.commit()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
