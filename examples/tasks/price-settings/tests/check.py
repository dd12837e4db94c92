"""Run /app/price.py under several settings; exit 0 when every run was as described, else 1."""

import os
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal

NET_CENTS = (0, 1, 10, 50, 105, 1000, 2010, 99999)


def run_price(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run the program with these settings and no others; its exit code, standard output and standard error."""
    ran = subprocess.run(
        [sys.executable, "/app/price.py", *arguments],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=5,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


def failed_prices(percents: list[str], currency: str) -> list[str]:
    failures = []
    for percent in percents:
        for net in NET_CENTS:
            gross = (net * (1 + Decimal(percent) / 100)).quantize(Decimal(1), ROUND_HALF_UP)
            expected = f"{gross // 100}.{gross % 100:02} {currency}\n"
            code, output, _ = run_price(str(net), PRICE_TAX_PERCENT=percent, PRICE_CURRENCY=currency)
            if (code, output) != (0, expected):
                failures.append(f"{net} cents at {percent} %: expected {expected!r}, found {output!r} and code {code}")
    return failures


def failed_refusals(percent: str, currency: str) -> list[str]:
    good = {"PRICE_TAX_PERCENT": percent, "PRICE_CURRENCY": currency}
    wrong_settings = {
        "PRICE_TAX_PERCENT": (None, "", "many", "-1", "100.5", "nan"),
        "PRICE_CURRENCY": (None, "", "sek", "KRON", "ÖRE"),
    }
    runs = [("NET_CENTS", argument, good) for argument in ("12.5", "-1", "ten")]
    for name, values in wrong_settings.items():
        others = {key: value for key, value in good.items() if key != name}
        runs += [(name, "1000", others if value is None else {**others, name: value}) for value in values]
    failures = []
    for name, argument, settings in runs:
        code, output, error = run_price(argument, **settings)
        if code != 2 or output or name not in error or len(error.splitlines()) != 1:
            failures.append(f"{argument} with {settings}: not refused by naming {name}: code {code}, {error[-300:]!r}")
    return failures


def main() -> None:
    percents, currency = os.environ["CHECK_TAX_PERCENTS"].split(), os.environ["CHECK_CURRENCY"]
    try:
        failures = failed_prices(percents, currency) + failed_refusals(percents[0], currency)
    except subprocess.TimeoutExpired as error:
        failures = [str(error)]
    print("\n".join(failures) or "every run was as described")
    sys.exit(1 if failures else 0)


main()
