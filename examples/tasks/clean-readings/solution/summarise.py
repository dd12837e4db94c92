"""Summarise /app/readings.csv as the instruction says."""

import csv
import json
import re
from datetime import UTC, datetime


def time_of(text: str) -> datetime | None:
    text = text.strip()
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def celsius_of(text: str) -> float | None:
    match = re.fullmatch(r"([-+]?\d+(?:[.,]\d+)?)\s*([CF])", text.strip())
    if match is None:
        return None
    value = float(match[1].replace(",", "."))
    celsius = value if match[2] == "C" else (value - 32) * 5 / 9
    return celsius if -60 <= round(celsius, 9) <= 60 else None


readings: dict[str, dict[datetime, float]] = {}
with open("/app/readings.csv", encoding="utf-8", newline="") as file:
    for row in csv.DictReader(file):
        moment, celsius = time_of(row["time"]), celsius_of(row["value"])
        if moment is not None and celsius is not None:
            readings.setdefault(row["sensor"].strip().lower(), {}).setdefault(moment, celsius)

summary = {
    sensor: {
        "count": len(values),
        "minimum_celsius": round(min(values.values()), 2),
        "maximum_celsius": round(max(values.values()), 2),
        "mean_celsius": round(sum(values.values()) / len(values), 2),
        "last_at": max(values).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    for sensor, values in readings.items()
}
with open("/app/summary.json", "w", encoding="utf-8") as file:
    json.dump(summary, file, indent=2)
    file.write("\n")
