"""Ten thousand random questions while readings come late and twice and every stage runs (`make proof-queries`).

Compaction, aggregation, upload to a directory and cleanup go on in a loop. Each answer, raw or windows, is held
against the truth of its moment. Exit 1 if one is wrong; it is printed.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from support.moving import ask_meanwhile, moving

_AT_ONCE = 500


def main() -> int:
    """Ask in lots, each of a directory of its own, until so many questions are asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began, cpu = time.monotonic(), time.process_time()
    asked, exact, readings, wrong = 0, 0, 0, 0
    rounds: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    for seed in range(chosen.seed, chosen.seed + -(-chosen.queries // _AT_ONCE)):
        with tempfile.TemporaryDirectory() as folder, moving(Path(folder), seed) as plant:
            done = ask_meanwhile(plant, min(_AT_ONCE, chosen.queries - asked), seed)
        asked += min(_AT_ONCE, chosen.queries - asked)
        exact += done.exact
        readings += plant.durable
        rounds.update(plant.rounds)
        tiers.update(done.tiers)
        wrong += len(done.wrong)
        for one in done.wrong:
            print(json.dumps({"seed": seed, "wrong": one}), flush=True)
        print(f"{asked:,} asked, {wrong:,} wrong", file=sys.stderr)
    figures = {
        "queries": asked,
        "wrong": wrong,
        "exact_to_the_reading": exact,
        "readings": readings,
        "rounds": dict(rounds),
        "files_read": dict(tiers),
        "cpu_seconds": round(time.process_time() - cpu),
        "wall_seconds": round(time.monotonic() - began),
    }
    print(json.dumps(figures))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
