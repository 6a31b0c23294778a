"""What the tree holds by source, beside what the ledger says."""

import numpy as np

from sensor_storage.model import Source
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.tally import Tally

SOURCE = Source("sensor-data-a", "id", 0, 0)


def test_dead_letters_that_no_entry_answers_for_yet_are_not_counted_as_stored() -> None:
    tally = Tally([LedgerEntry(SOURCE, 0, 100, messages=100, dead_letters=2)]).of(SOURCE)
    loose = tally.add_letters(np.array([7, 20, 100, 150]))
    assert loose.tolist() == [100, 150]
    assert tally.stored().dead_letters == 2
