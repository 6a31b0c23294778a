"""Whoever asked and goes ends the work, wherever it is: before the first byte of an answer or amid its rows."""

from asyncio import create_task, gather
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

from sensor_storage.query.watch import Cancelled, Watch

_T = TypeVar("_T")


async def while_waited_for(receive: Receive, watch: Watch, work: Callable[[], _T]) -> _T:
    """What the work on a thread gives; Cancelled soon after nobody waits for it any more."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        watch.cancel()

    listening = create_task(listen())
    try:
        return await run_in_threadpool(work)
    finally:
        listening.cancel()
        await gather(listening, return_exceptions=True)


class WatchedStream(StreamingResponse):
    """An answer piece by piece. Its making ends when its reader goes: the thread of a piece looks at the watch."""

    def __init__(
        self, pieces: Iterable[bytes], watch: Watch, *, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def listened() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._watch.cancel()
            return message

        try:
            with suppress(Cancelled):
                await super().__call__(scope, listened, send)
        finally:
            self._watch.cancel()
