"""A worker process that does what its request names."""

import logging
import time

from avseg.batch.pipes import Channel


class UnpicklableError(Exception):
    """An error that is pickled without its argument, as many libraries have them."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __str__(self) -> str:
        return f"number {self.number}"


if __name__ == "__main__":
    channel = Channel()
    request = channel.receive_request()
    if request == "print":
        print("from a library", flush=True)  # noqa: T201 - the test looks for it
    elif request == "log":
        for level in (logging.DEBUG, logging.INFO):
            logging.getLogger("avseg.x").log(level, "level %s", logging.getLevelName(level))
    elif request == "error":
        channel.send_error(UnpicklableError(7))
    elif request == "foreign":
        channel.send(UnpicklableError(7))  # its module is another one for the supervisor
    elif request == "beat":
        for _ in range(15):
            channel.beat()
            time.sleep(0.1)
    channel.send(("done", request))
