"""Whatever is asked, with a key or without: no fault of the service's, and no answer that is not described."""

from pathlib import Path

import pytest

from support.asking import CALLERS, ask_everything, furnished


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("caller", CALLERS)
def test_no_request_meets_a_fault_or_an_answer_that_is_not_described(tmp_path: Path, caller: str) -> None:
    with furnished(tmp_path) as make:
        app, headers = make(caller)
        statuses = ask_everything(app, headers, examples=4, number=1)
    assert sum(statuses.values()) > 50
    assert statuses[401] > 0 if caller == "nobody" else statuses[401] == 0
