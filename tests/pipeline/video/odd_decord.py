"""A counting program that does what the environment says before it counts as ever: what slow or sick machines do."""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

from pipeline.video import decord_count

if __name__ == "__main__":
    decord_count.end_with(int(sys.argv[2]))
    harm, marker = os.environ["ODD_DECORD"], Path(sys.argv[1]).with_suffix(".met")
    is_first = not marker.exists()
    marker.touch()
    if harm == "slow":
        # Longer in all than any one step may take.
        for word in (decord_count.READY, decord_count.OPENED, decord_count.COUNTING, decord_count.COUNTING):
            time.sleep(1)
            decord_count.say(word)
    elif harm == "stop" or (harm == "stop once" and is_first):
        decord_count.say(decord_count.READY)
        decord_count.say(decord_count.OPENED)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif harm == "kill once" and is_first:
        os.kill(os.getpid(), signal.SIGKILL)
    elif harm == "absent":
        assert importlib.util.find_spec("no_such_decord"), "no decord"
    decord_count.say("{} {}".format(*decord_count.count(sys.argv[1])))
