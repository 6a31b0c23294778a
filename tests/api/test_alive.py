"""The API tells that it serves as long as its loop turns, whatever its other threads do."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from sensor_storage.api.alive import tell_while_it_turns
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_api
from support.listening import listening_at
from support.waiting import wait_until


class Loop:
    """One that turns when told to."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], object]] = []

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> None:
        self.asked.append(callback)


def test_nothing_is_told_until_the_loop_has_turned() -> None:
    loop, told, stop = Loop(), Event(), Event()
    thread = Thread(target=tell_while_it_turns, args=(loop, told.set, stop))
    thread.start()
    wait_until(lambda: loop.asked, "the loop is asked")
    assert not told.is_set()
    loop.asked.pop()()
    assert told.wait(30)
    wait_until(lambda: loop.asked, "the loop is asked again")
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_thread_that_works_for_long_holds_up_nothing_and_the_end_of_the_loop_ends_it() -> None:
    told = 0

    async def serve() -> None:
        nonlocal told
        done, heard = Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            nonlocal told
            told += 1
            if told > 1:
                loop.call_soon_threadsafe(heard.set)

        thread = Thread(target=tell_while_it_turns, args=(loop, tell, Event()))
        threads.append(thread)
        thread.start()
        slow = asyncio.create_task(asyncio.to_thread(done.wait, 30))
        await asyncio.wait_for(heard.wait(), 30)
        assert not slow.done()
        done.set()
        await slow

    threads: list[Thread] = []
    asyncio.run(serve())
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_a_disk_that_takes_nothing_does_not_end_the_report() -> None:
    loop, tries, stop = Loop(), [OSError("read-only"), None], Event()
    told = Event()

    def tell() -> None:
        if error := tries.pop(0):
            raise error
        told.set()

    thread = Thread(target=tell_while_it_turns, args=(loop, tell, stop))
    thread.start()
    for _ in range(2):
        wait_until(lambda: loop.asked, "the loop is asked")
        loop.asked.pop()()
    assert told.wait(30)
    stop.set()
    thread.join(30)


def test_the_server_reports_itself_again_and_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    with listening_at(layout):
        wait_until(lambda: read_api(layout), "it reports")
        first = read_api(layout)
        wait_until(lambda: read_api(layout) != first, "it reports again")
