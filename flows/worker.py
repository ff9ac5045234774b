"""A Prefect process worker that also looks after its nights; SIGTERM ends it once they have kept what they have."""

import asyncio
import logging
import signal
import time

import psutil
from prefect.workers.process import ProcessWorker  # noqa: TID251

from cnn.config.environment import Environment
from cnn.service.plans import work_pool
from cnn.service.state import is_night, marked
from flows.watch import NO_ANSWER, Watch

log = logging.getLogger(__name__)

_POLL_S, _LOOK_S = 5.0, 0.5
_END_S = 90.0  # of a night that an earlier worker has started; what this one has started is waited for in any case
_HEARTBEAT_POLLS = 6


async def work(environment: Environment) -> None:
    """Take what is due, until told to end."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    watch = Watch(environment)
    async with ProcessWorker(work_pool_name=work_pool(environment), name=f"cnn-{environment.home_id()}") as worker:
        polls = 0
        while not stopping.is_set():
            try:
                for sentence in await asyncio.to_thread(watch.look):
                    log.warning(sentence)
                if polls % _HEARTBEAT_POLLS == 0:
                    await worker.sync_with_backend()
                await worker.get_and_submit_flow_runs()
            except NO_ANSWER as error:
                log.warning("Prefect does not answer (%s): asked again", type(error).__name__)
            polls += 1
            await _asleep(stopping)
        ending = asyncio.create_task(_end_nights(watch))
    deadline = time.monotonic() + _END_S
    while _nights(environment) and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_S)
    ending.cancel()
    log.warning("ended")


async def _asleep(stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), _POLL_S)
    except TimeoutError:
        return


async def _end_nights(watch: Watch) -> None:
    """Ask the nights under way to end, and one that is being started as soon as it is there.

    Those of this worker are waited for where it is closed, which says to Prefect how they ended.
    """
    told: set[int] = set()
    while True:
        for night in _nights(watch.environment):
            if night.pid not in told:
                log.warning("ending process %s, a night under way", night.pid)
                told.add(night.pid)
                await asyncio.to_thread(watch.ask_to_end, night)
        await asyncio.sleep(_LOOK_S)


def _nights(environment: Environment) -> list[psutil.Process]:
    """Processes of flow runs under way, those that an earlier worker has started included."""
    return [process for process in marked(environment) if is_night(process)]
