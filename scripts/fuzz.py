"""Decode damaged messages of every form among good ones, and compare each with what it is alone.

`make fuzz`, or `PYTHONPATH=tests python scripts/fuzz.py --messages 100000 --seed 1`. It ends with an error at the
first message that is not what it is alone, or that is a dead letter though nothing is wrong with it.
"""

import argparse
import time

from support.fuzz import run


def main() -> None:
    """Run, and tell what became of the messages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.process_time()
    report = run(options.messages, options.seed)
    print(f"{report.messages} messages, each as alone: {report.good} gave {report.readings} readings,")
    print(
        f"{sum(report.dead_letters.values())} one dead letter each; {report.in_columns} were decoded in columns"
    )
    for reason, count in report.dead_letters.most_common():
        print(f"{count:8} {reason}")
    print(f"{time.process_time() - start:.0f} s of CPU")


if __name__ == "__main__":
    main()
