"""Ten thousand requests nobody would write, made from the API's own description (`make fuzz-api`).

Exit 1 at the first fault of the service's or answer that is not described; the request that met it is printed.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from support.asking import CALLERS, ask_everything, furnished


def main() -> int:
    """Ask as each kind of caller in turn until so many cases are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began, number = time.process_time(), chosen.seed
    statuses: dict[str, Counter[int]] = {caller: Counter() for caller in CALLERS}
    with tempfile.TemporaryDirectory() as folder, furnished(Path(folder)) as make:
        while sum(sum(one.values()) for one in statuses.values()) < chosen.cases:
            for caller in CALLERS:
                statuses[caller] += ask_everything(*make(caller), examples=20, number=number)
                number += 1
    done = sum(sum(one.values()) for one in statuses.values())
    told = {caller: dict(sorted(one.items())) for caller, one in statuses.items()}
    print(json.dumps({"cases": done, "cpu_seconds": round(time.process_time() - began), "statuses": told}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
