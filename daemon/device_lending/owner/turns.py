# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whose turn it is at a device: one operation at a time at each, in a thread of its own that may be left alone.

A driver or a reset may hang for ever. Then the thread stays, and the device's turn with it; who has asked for it is
told, and nothing else waits.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.kernel import KernelError
from device_lending.pending import Answer, Pending, Signal

log = logging.getLogger("device_lending.turns")
T = TypeVar("T")


@dataclass(eq=False)
class Turn(Generic[T]):
    """An operation on a device. `step` is what it is at since `since` (monotonic), for `limit` seconds at most.

    `refusal` is what who waits for it gets in the place of an outcome, although it may have one yet.
    """

    device: str
    work: Callable[[], T]
    step: str = ""
    since: float = float("inf")
    limit: float = float("inf")
    named: bool = False
    done: bool = False
    result: T | None = None
    error: Exception | None = None
    refusal: LendingError | None = None


class Turns:
    """The operations under way and waiting, by device. `start` runs a function, by itself in a thread.

    No lock is held while an operation runs. One that has to hold a lock takes it within its turn, never before.
    `changed` is fired whenever an operation comes to its next step or ends.
    """

    def __init__(self, host: str, clock: Clock, start: Callable[[Callable[[], None]], None] | None = None) -> None:
        self._host = host
        self._clock = clock
        self._start = start or _in_a_thread
        self.changed = Signal()
        self._condition = threading.Condition()
        self._queues: dict[str, deque[Turn[Any]]] = {}
        self._ended: dict[str, int] = {}
        self._count = 0
        self._stopped = False

    def stop(self) -> None:
        """End waits. What is at work goes on to the end of its step, where a daemon may be killed as well."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self.changed.fire()

    def run(self, device: str, work: Callable[[], T]) -> T:
        """Have it done at the device's turn and wait for that. Raises LendingError device_stuck, and what `work` does.

        Where the operation under way takes too long, one that waits behind it is not begun any more.
        """
        return self.wait(self.begin(device, work))

    def begin(self, device: str, work: Callable[[], T]) -> Turn[T]:
        """Have it done at the device's turn. Raises LendingError device_stuck, no_thread."""
        turn = Turn(device, work)
        with self._condition:
            self._refuse(device)
            queue = self._queues.setdefault(device, deque())
            queue.append(turn)
            is_first = len(queue) == 1
        if is_first:
            try:
                self._start(lambda: self._serve(device, queue))
            except RuntimeError as error:
                raise self._abandon(device, error) from error
        return turn

    def _abandon(self, device: str, problem: RuntimeError) -> LendingError:
        """Nothing of what waits at a device is begun, as no thread does it."""
        text = f"{device} of host {self._host}: the system gives ownerd no thread: {problem}; it may have too many"
        refusal = LendingError("no_thread", text, status=503, device=device)
        log.warning("%s", text)
        with self._condition:
            for turn in self._queues.pop(device):
                turn.done, turn.error = True, refusal
            self._condition.notify_all()
        self.changed.fire()
        return refusal

    def wait(self, turn: Turn[T]) -> T:
        """The outcome of what was begun, waited for in this thread; see `run`."""
        with self._condition:
            while not self._is_over(turn):
                self._condition.wait(min(self._left(turn), threading.TIMEOUT_MAX))
        return self.result(turn)

    def when(self, turns: Sequence[Turn[Any]], outcome: Callable[[], Answer | Pending]) -> Answer | Pending:
        """`outcome` once all that was begun is over, of which it asks the `result`; waited for in no thread."""

        def is_over() -> bool:
            with self._condition:
                return all(self._is_over(turn) for turn in turns)

        def due() -> float | None:
            with self._condition:
                left = min((self._left(turn) for turn in turns if not self._is_over(turn)), default=0.0)
            return None if left == float("inf") else left

        return outcome() if is_over() else Pending(self.changed, is_over, outcome, due=due)

    def result(self, turn: Turn[T]) -> T:
        """The outcome of what is over. Raises LendingError device_stuck, and what its work has raised."""
        if turn.done and turn.error is not None:
            raise turn.error
        if not turn.done and turn.refusal is not None:
            raise turn.refusal
        return cast(T, turn.result)

    def _is_over(self, turn: Turn[Any]) -> bool:
        """Whether who waits for an operation gets an answer: what waits behind one that hangs is not begun any more."""
        if not turn.done and turn.refusal is None:
            try:
                self._refuse(turn.device)
            except LendingError as error:
                turn.refusal = error
                queue = self._queues[turn.device]
                if turn is not queue[0]:
                    queue.remove(turn)
        return turn.done or turn.refusal is not None

    def _left(self, turn: Turn[Any]) -> float:
        """Seconds until what is at work at its device takes too long."""
        first = self._queues[turn.device][0]
        return max(0.0, first.since + first.limit - self._clock.monotonic())

    def step(self, device: str, step: str, limit: float) -> None:
        """What the operation at a device comes to next ("resetting it"), and how many seconds that may take."""
        with self._condition:
            if self._stopped:
                raise self._stopping(device)
            turn = self._queues[device][0]
            self._through(turn)
            turn.step, turn.since, turn.limit = step, self._clock.monotonic(), limit
            self._condition.notify_all()
        self.changed.fire()

    def stuck(self, device: str) -> str:
        """What hangs at a device and since when, in words; "" when nothing does."""
        with self._condition:
            return self._hangs(device)

    def refuse(self, device: str) -> None:
        """Raise LendingError device_stuck where something hangs at the device."""
        with self._condition:
            self._refuse(device)

    def name(self) -> None:
        """Log what hangs, each once."""
        with self._condition:
            for device in self._queues:
                self._hangs(device)

    def mark(self) -> int:
        """A moment for `quiet_since`."""
        with self._condition:
            return self._count

    def quiet_since(self, mark: int, device: str) -> bool:
        """Whether nothing is done to a device, nor has been since a moment."""
        with self._condition:
            return device not in self._queues and self._ended.get(device, 0) <= mark

    def _serve(self, device: str, queue: deque[Turn[Any]]) -> None:
        while True:
            turn = queue[0]
            try:
                turn.result = turn.work()
            except (LendingError, KernelError) as error:  # for who waits
                turn.error = error
            except Exception as error:  # nobody may wait any more
                turn.error = error
                if not self._stopped:
                    log.exception("device %s: %s failed", device, turn.step)
            finally:
                with self._condition:
                    turn.done = True
                    self._through(turn)
                    queue.popleft()
                    if not queue:
                        del self._queues[device]
                    self._count += 1
                    self._ended[device] = self._count
                    is_last = not queue
                    self._condition.notify_all()
                self.changed.fire()
            if is_last:
                return

    def _through(self, turn: Turn[Any]) -> None:
        if turn.named and not self._stopped:
            took = self._clock.monotonic() - turn.since
            log.warning("device %s: %s went on after %.0f s%s", turn.device, turn.step, took,
                        f": {turn.error}" if turn.error else "")  # fmt: skip
        turn.named = False

    def _hangs(self, device: str) -> str:
        turn = self._queues[device][0] if device in self._queues else None
        if turn is None or self._clock.monotonic() < turn.since + turn.limit:
            return ""
        text = f"{turn.step} hangs since {self._clock.at(turn.since)}"
        if not turn.named:
            turn.named = True
            log.error("device %s: %s; nothing else is done with it until that ends", device, text)
        return text

    def _refuse(self, device: str) -> None:
        if self._stopped:
            raise self._stopping(device)
        text = self._hangs(device)
        if text:
            raise LendingError(
                "device_stuck",
                f"{device} of host {self._host}: {text}; nothing else is done with it until that ends. What it waits "
                f"for, the kernel log of {self._host} may tell; a reboot of {self._host} ends it",
                status=409,
                device=device,
            )

    def _stopping(self, device: str) -> LendingError:
        return LendingError("stopping", f"ownerd of host {self._host} is about to end", status=503, device=device)


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="device", daemon=True).start()
