"""What is amiss with a sensor, by its newest reading."""

from support.page_modules import run_by_node

PROGRAM = """
import { amiss } from "./src/amiss.ts";
console.log(JSON.stringify(JSON.parse(process.argv[1]).map((one) => amiss(one))));
"""


def _reading(name: str, value: float | None = None, **more: object) -> dict[str, object]:
    return {"sensor_name": name, "value": value, "text": None, "quality": "good", "age_seconds": 1.0, **more}


EVERY_SECOND = [[second, 1.0] for second in range(20)]
CASES = {
    "a number is well": (_reading("force", 7.0), ""),
    "an alarm that is on": (_reading("motor_alarm", 1.0), "alarm"),
    "an alarm that is off": (_reading("motor_alarm", 0.0), ""),
    "a fault in words": (_reading("fault", text="overheated"), "alarm"),
    "no fault in words": (_reading("fault", text="Cleared"), ""),
    "bad before anything else": (_reading("motor_alarm", 1.0, quality="bad", age_seconds=9e9), "bad"),
    "silent before an alarm": (_reading("motor_alarm", 1.0, age_seconds=9e9), "silent"),
    "silent by its own interval": (_reading("force", 7.0, age_seconds=60, recent=EVERY_SECOND), "silent"),
    "too few to know its interval": (_reading("force", 7.0, age_seconds=60, recent=EVERY_SECOND[:3]), ""),
}


def test_a_sensor_is_marked_by_its_newest_reading() -> None:
    marks = run_by_node(PROGRAM, [reading for reading, _ in CASES.values()])
    assert dict(zip(CASES, marks, strict=True)) == {case: mark for case, (_, mark) in CASES.items()}
