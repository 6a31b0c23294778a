"""A plant of two days with every trouble a chart must not hide."""

from sensor_storage.model import Series
from support.aggregates import DAY, SECOND, SERIES, Reading

MARKUP = "<img src=x onerror=alert(1)>"
TURNED = "\u202eturned/around~step&pen=1"
SPIKE = 999.5
SPIKE_AT = DAY + 30_000 * SECOND
SILENT = (DAY + 50_000 * SECOND, DAY + 60_000 * SECOND)


def readings() -> list[Reading]:
    """Two days of a temperature every ten seconds, with a spike, a silence and bad quality; some odd names."""
    rows = []
    for second in range(0, 2 * 86_400, 10):
        time = DAY + second * SECOND
        if SILENT[0] <= time < SILENT[1]:
            continue
        quality = "bad" if 70_000 <= second < 70_300 else "good"
        rows.append(Reading(time, SPIKE if time == SPIKE_AT else float(second % 600) / 10, quality))
    state = Series("press-1", "state")
    rows += [
        Reading(DAY + hour * 3600 * SECOND, text=("on", "off")[hour % 2], unit=None, series=state)
        for hour in range(48)
    ]
    rows += [
        Reading(DAY + 5 * SECOND, 1.0, unit="x" * 300, series=Series(MARKUP, MARKUP)),
        Reading(DAY + 6 * SECOND, 2.0, unit=None, series=Series(TURNED, "n" * 180)),
        Reading(DAY + 7 * SECOND, 3.0, unit="bar", series=Series(SERIES.asset, "pressure")),
    ]
    return rows
