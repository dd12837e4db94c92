"""Print the gross price for a net price: price.py NET_CENTS."""

import sys

TAX_PERCENT = 20
CURRENCY = "EUR"

net_cents = int(sys.argv[1])
gross_cents = net_cents + net_cents * TAX_PERCENT / 100
print(f"{gross_cents / 100:.2f} {CURRENCY}")
