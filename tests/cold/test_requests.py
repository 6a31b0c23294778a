"""What the store is asked for is what `docs/cost.md` says it costs."""

import re
from pathlib import Path

from support.requests import requests_of_days

COST = (Path(__file__).parents[2] / "docs" / "cost.md").read_text()
DAYS_PER_MONTH = 30.4375


def test_each_file_is_written_once_and_the_month_s_once_a_day(tmp_path: Path) -> None:
    asked, _ = requests_of_days(tmp_path, sensors=2, days=2)
    writes = {kind: number for kind, number in asked.items() if kind.startswith("write")}
    assert writes == {"write raw": 48, "write minute": 48, "write hour": 2, "write day": 2}
    assert asked["download"] == 2  # the month's file, before it is replaced
    assert asked["look"] == 0


def test_the_requests_told_are_those_counted() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| ([\d,]+) \|$", COST, re.MULTILINE)
    assert [int(a_day) for a_day, _ in rows] == [24, 24, 1, 1, 50]
    for a_day, a_month in rows:
        assert int(a_month.replace(",", "")) == round(int(a_day) * DAYS_PER_MONTH * 1000, -2)
