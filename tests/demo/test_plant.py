"""The plant's physics: repeatable, plausible, irregular."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.demo.plant import BAD, SECOND, Plant, Samples
from sensor_storage.errors import Usage

START = 1_704_067_200 * SECOND
MINUTE = 60 * SECOND


def rows(samples: Samples) -> set[tuple[object, ...]]:
    """Each reading of these samples as something to compare; a null value becomes a word."""
    places = np.argwhere(samples.present).tolist()
    return {
        (
            int(samples.asset[i]),
            j,
            int(samples.time_us[i, j]),
            repr(float(samples.value[i, j])),
            int(samples.quality[i, j]),
            int(samples.state[i, j]),
        )
        for i, j in places
    }


@settings(deadline=None, max_examples=25)
@given(
    cuts=st.lists(st.integers(0, 20_000), max_size=6),
    interval=st.sampled_from([1_000, 4_321, 250_000, SECOND, 7_300_000]),
    seed=st.integers(-5, 2**70),
)
def test_a_stretch_gives_the_same_readings_in_one_piece_or_in_many(
    cuts: list[int], interval: int, seed: int
) -> None:
    plant, end = Plant(3, 4, seed=seed, text_share=0.25), START + 20 * interval
    edges = [START, *sorted(START + cut * interval // 1000 for cut in cuts), end]
    whole = rows(Plant(3, 4, seed=seed, text_share=0.25).sample(START, end, interval))
    pieces = [rows(plant.sample(a, b, interval)) for a, b in pairwise(edges)]
    assert set().union(*pieces) == whole
    assert sum(map(len, pieces)) == len(whole)


def test_another_seed_is_another_plant() -> None:
    one, two = (rows(Plant(5, 5, seed=seed).sample(START, START + SECOND, SECOND)) for seed in (1, 2))
    assert not one & two


def test_a_machine_is_polled_once_an_interval() -> None:
    samples = Plant(10, 3, text_share=0).sample(START, START + MINUTE, SECOND)
    assert np.bincount(samples.asset).tolist() == [60] * 10


def test_timestamps_are_irregular_and_whole_milliseconds() -> None:
    samples = Plant(1, 2, text_share=0).sample(START, START + MINUTE, SECOND)
    gaps = np.diff(samples.time_us[:, 0])
    assert (samples.time_us % 1000 == 0).all()
    assert len(set(gaps.tolist())) > 5
    assert abs(gaps - SECOND).max() < 50_000


def test_sensors_of_one_record_share_its_time() -> None:
    samples = Plant(4, 5).sample(START, START + MINUTE, SECOND, together=True)
    assert (samples.time_us == samples.polled_us[:, None]).all()


def test_values_keep_to_the_resolution_of_their_sensor() -> None:
    plant = Plant(12, 10)
    samples = plant.sample(START, START + MINUTE, SECOND)
    for i, j in np.argwhere(~np.isnan(samples.value)).tolist():
        value = float(samples.value[i, j])
        assert value == round(value, plant.assets[samples.asset[i]].sensors[j].decimals)


def test_counters_never_go_back() -> None:
    plant = Plant(1, 10, text_share=0)
    column = [s.name for s in plant.assets[0].sensors].index("strokes")
    counted = plant.sample(START, START + 10 * MINUTE, SECOND).value[:, column]
    assert (np.diff(counted) >= 0).all()
    assert counted[-1] > counted[0]


def test_an_alarm_speaks_on_change_and_once_a_minute() -> None:
    plant = Plant(1, 2, text_share=0.5, seed=3)
    assert plant.assets[0].sensors[1].name == "alarm"
    samples = plant.sample(START, START + 60 * MINUTE, SECOND)
    state, spoken, minute = samples.state[1:, 1], samples.present[1:, 1], samples.time_us[:, 1] // MINUTE
    changed = state != samples.state[:-1, 1]
    assert changed.any()
    assert spoken.tolist() == (changed | (np.diff(minute) > 0)).tolist()


def test_three_minutes_show_a_spike_a_silence_and_a_bad_stretch() -> None:
    samples = Plant(3, 10).sample(START, START + 3 * MINUTE, SECOND)
    press, pump, kiln = (samples.asset == machine for machine in range(3))
    temperature = samples.value[press, 0]
    assert temperature.max() > np.median(temperature) + 5
    assert 40 <= (~samples.present[pump, 1]).sum() <= 50
    assert 20 <= (samples.quality[kiln, 1] == BAD).sum() <= 60
    assert np.isnan(samples.value[kiln, 1]).any()


def test_sensor_names_are_unique_however_many_there_are() -> None:
    for asset in Plant(7, 60, text_share=0.3).assets:
        assert len({sensor.name for sensor in asset.sensors}) == 60


@pytest.mark.parametrize(
    ("assets", "sensors", "share"), [(0, 1, 0.1), (1, 0, 0.1), (1, 1, 1.5), (1, 1, -0.1)]
)
def test_a_plant_that_cannot_be_is_refused(assets: int, sensors: int, share: float) -> None:
    with pytest.raises(Usage):
        Plant(assets, sensors, text_share=share)
