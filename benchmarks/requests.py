"""What the cold store is asked for and holds, of one sensor, in a day and in a month.

`PYTHONPATH=tests python benchmarks/requests.py`. The stages work through some days, each with its moment's clock,
into a folder whose requests are counted. Requests and the size of aggregates do not depend on the rate of the
readings. Prints a JSON line; `docs/cost.md` says what it costs.
"""

import argparse
import json
import tempfile
from pathlib import Path

from support.requests import requests_of_days

_DAYS_PER_MONTH = 30.4375


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=4)
    parser.add_argument("--days", type=int, default=4)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked, held = requests_of_days(Path(folder), sensors=chosen.sensors, days=chosen.days)
    counted_days = chosen.sensors * (chosen.days - 1)
    writes = sum(number for kind, number in asked.items() if kind.startswith("write"))
    found = {
        "requests_per_sensor_and_day": {
            kind: round(number / counted_days, 2) for kind, number in sorted(asked.items())
        },
        "writes_per_sensor_and_month": round(writes / counted_days * _DAYS_PER_MONTH),
        "aggregate_bytes_per_sensor_and_day": round(
            sum(size for level, size in held.items() if level != "raw") / chosen.sensors / chosen.days
        ),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
