"""Print the gross price for a net price: price.py NET_CENTS. Settings: PRICE_TAX_PERCENT, PRICE_CURRENCY."""

import os
import re
import sys
from decimal import ROUND_HALF_UP, Decimal


def refuse(name: str, rule: str) -> None:
    print(f"{name} must be {rule}", file=sys.stderr)
    sys.exit(2)


arguments = sys.argv[1:]
if len(arguments) != 1 or not re.fullmatch(r"[0-9]+", arguments[0]):
    refuse("NET_CENTS", "a whole number of cents")
percent = os.environ.get("PRICE_TAX_PERCENT", "")
if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", percent) or Decimal(percent) > 100:
    refuse("PRICE_TAX_PERCENT", "a decimal number from 0 to 100")
currency = os.environ.get("PRICE_CURRENCY", "")
if not re.fullmatch(r"[A-Z]{3}", currency):
    refuse("PRICE_CURRENCY", "three capital letters")

gross = (int(arguments[0]) * (1 + Decimal(percent) / 100)).quantize(Decimal(1), ROUND_HALF_UP)
print(f"{gross // 100}.{gross % 100:02} {currency}")
