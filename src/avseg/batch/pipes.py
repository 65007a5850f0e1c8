"""The pipes between a supervisor and its worker process: both ends.

A worker process may crash in a native library, be killed for lack of memory, or hang; the
supervisor goes on. `WorkerProcess` is the supervisor's end: it starts a module in a new
interpreter, sends it one request, and receives its messages. `Channel` is the worker's end. It also
forwards log records and signs of progress (`heartbeat`). A worker never outlives its supervisor.

The module is started by its name and not by `multiprocessing`, which would import the script of the
user again, and fail if that script has no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import _thread
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from logging.handlers import QueueHandler
from typing import IO, Self

#: Time in seconds between two looks at the messages of a worker.
_TICK_S = 0.5

#: Shortest time in seconds between two signs of progress that a worker sends.
_BEAT_S = 1.0

#: Time in seconds that a worker has to remove its unfinished output after its supervisor has ended.
_CLEANUP_S = 10.0

#: Message of a worker for a sign of progress.
_BEAT = "beat"


@dataclass(frozen=True)
class WorkerEnd:
    """End of a worker process: the last message of each.

    Attributes:
        exit_code: Exit code of the process, or the negative number of the signal that ended it;
            None if it was still running, but made no progress.
    """

    exit_code: int | None

    @property
    def signal_name(self) -> str | None:
        """Name of the signal that ended the process, such as "SIGSEGV"; None if there is none."""
        if self.exit_code is None or self.exit_code >= 0:
            return None
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"  # a real-time signal


class WorkerProcess:
    """A worker process, as its supervisor sees it; it is killed at the end of the `with` block.

    The process has the environment, the working folder, `sys.path` and stderr of this one.

    Args:
        module: Dotted name of the module to start.
        request: Object to send to the worker; it must be picklable.
    """

    def __init__(self, module: str, request: object) -> None:
        level = logging.getLogger("avseg").getEffectiveLevel()
        start = pickle.dumps((level, request))
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, a module of this package
            # -P: a file torch.py in the working folder must not be imported.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):  # it has ended already, which `receive` reports
            self._stdin.write(start)
            # Not closed: the worker ends when this pipe is closed, however this process ends.
            self._stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._stdout.close()
        with suppress(BrokenPipeError):
            self._stdin.close()

    def receive(self, limit_s: float | None) -> object:
        """Wait for the next message, and pass log records on to the loggers of this process.

        Args:
            limit_s: Time without a sign of progress after which the worker counts as hanging, in
                seconds; None for no limit.

        Returns:
            The message, or a `WorkerEnd`. A message that cannot be read is the exception.
        """
        idle_s = 0.0
        while limit_s is None or idle_s < limit_s:
            try:
                message = self._messages.get(timeout=_TICK_S)
            except queue.Empty:
                # Counted, not read from a clock: while both processes are stopped (Ctrl-Z) or the
                # computer is suspended, no time passes.
                idle_s += _TICK_S
                continue
            idle_s = 0.0
            if isinstance(message, logging.LogRecord):
                logger = logging.getLogger(message.name)
                if logger.isEnabledFor(message.levelno):
                    logger.handle(message)
            elif message != _BEAT:
                return message
        return WorkerEnd(None)

    def _read(self) -> None:
        try:
            while True:
                self._messages.put(pickle.load(self._stdout))  # noqa: S301 - from our own worker
        except (EOFError, pickle.UnpicklingError):
            pass  # the end of the process, perhaps in the middle of a message
        except Exception as error:  # noqa: BLE001 - whatever the class of a message raises
            self._messages.put(error)
            self._process.kill()
        finally:
            self._messages.put(WorkerEnd(self._process.wait()))

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe
        return self._process.stdout


class Channel:
    """The pipes to the supervisor, as the worker process sees them; one for each process."""

    def __init__(self) -> None:
        # Output of libraries must not come between the messages: it goes to stderr.
        self._stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._last_beat_s = 0.0
        self._is_orphan = False

    def receive_request(self) -> object:
        """Receive the request; from then on this process ends when its supervisor ends.

        Returns:
            The object that was passed to `WorkerProcess`.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        level, request = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own supervisor
        logging.getLogger("avseg").setLevel(level)
        logging.getLogger().addHandler(_Forwarder(self))
        threading.Thread(target=self._end_with_supervisor, daemon=True).start()
        return request

    def send(self, message: object) -> None:
        """Send a message to the supervisor.

        Args:
            message: Any picklable object.
        """
        with self._lock:
            pickle.dump(message, self._stream)
            self._stream.flush()

    def send_error(self, error: Exception) -> None:
        """Send an exception to the supervisor, as a message.

        Args:
            error: The exception. One that cannot be pickled is sent as a RuntimeError with the same
                text.
        """
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        except Exception:  # noqa: BLE001 - whatever the methods of its class raise
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self.send(error)

    def beat(self) -> None:
        """Send a sign of progress, at most one per second."""
        now_s = time.monotonic()
        if now_s - self._last_beat_s >= _BEAT_S:
            self._last_beat_s = now_s
            self.send(_BEAT)

    def _on_signal(self, *_: object) -> None:
        # Ctrl-C and SIGTERM reach all processes of a group; the supervisor handles and reports
        # them, and ends this process.
        if self._is_orphan:
            raise SystemExit(1)

    def _end_with_supervisor(self) -> None:
        """Remove unfinished output and end this process when the supervisor has ended."""
        while os.read(0, 1):
            pass
        self._is_orphan = True
        _thread.interrupt_main(signal.SIGTERM)
        time.sleep(_CLEANUP_S)
        os._exit(1)


class _Forwarder(QueueHandler):
    """Log handler that sends each record to the supervisor."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(queue.SimpleQueue())
        self._channel = channel

    def enqueue(self, record: logging.LogRecord) -> None:
        self._channel.send(record)
