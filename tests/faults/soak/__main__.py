"""``python -m faults.soak --minutes 30``, from the folder of the tests."""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from faults.breakdowns.killed import kill_all
from faults.breakdowns.recovery import assert_models_are_whole
from faults.cases import RECOVERY_LIMIT_S
from faults.ground import MODEST, Ground
from faults.soak.measuring import growth, measure, wait_until_nothing_is_left
from faults.soak.use import Records, Use
from stack.running import RunningServer, settings_of, wait_until

PROGRAMS = ("training", "answering", "uwsgi", "nginx", "redis", "rabbitmq")
EVERYTHING = "everything, and a fresh start"
SHARE_OF_WARM_UP, LONGEST_WARM_UP_S = 0.2, 180.0
LONGEST_PAUSE_S = 60.0
# Other requests are in the queue before one that is asked after a kill; a busy machine has its share.
SLACK_S = 15.0


class Soak:
    """One run.

    Parameters
    ----------
    ground
        A running server.
    seconds
        How long it is used.
    seed
        Of what is asked and killed.
    """

    def __init__(self, ground: Ground, seconds: float, seed: int) -> None:
        self._ground = ground
        self._seconds = seconds
        self._rng = random.Random(seed)
        self._records = Records()
        self._use = Use(ground, self._records, seed)
        self.kills: list[tuple[str, float]] = []

    def run(self) -> bool:
        """Use the server and kill its programs; report, and tell whether it held."""
        warm_up_s = min(LONGEST_WARM_UP_S, SHARE_OF_WARM_UP * self._seconds)
        begin = time.monotonic()
        for person in self._use.people:
            person.start()
        time.sleep(warm_up_s)
        before = self._measured()
        pause = min(LONGEST_PAUSE_S, self._seconds / 6)
        while (left := begin + self._seconds - time.monotonic()) > 0:
            time.sleep(min(left, self._rng.uniform(0.6, 1.4) * pause))
            if begin + self._seconds - time.monotonic() > pause / 2:
                self._break_something()
        after = self._measured()
        for person in self._use.people:
            person.stop()
        self._check("leftovers", lambda: wait_until_nothing_is_left(self._ground))
        self._report(before, after)
        return not self._records.problems

    def _break_something(self) -> None:
        everything = len(self.kills) % 8 == 2
        name = EVERYTHING if everything else self._rng.choice(PROGRAMS)
        begin = time.monotonic()
        if everything:
            self._cut()
        else:
            pid = self._ground.server.pid(name)
            if pid:
                os.kill(pid, signal.SIGKILL)
        begin = time.monotonic() if everything else begin
        self._check(f"after {name} was killed", lambda: self._wait_until_it_predicts(begin))
        self.kills.append((name, time.monotonic() - begin))
        print(f"{time.strftime('%H:%M:%S')}  killed {name}; {self.kills[-1][1]:.1f} s until it predicted", flush=True)

    def _cut(self) -> None:
        """Kill everything in the middle of its work; the people come back when the server does."""
        for person in self._use.people:
            person.hold()
        self._check("everything killed", lambda: kill_all(self._ground))
        for person in self._use.people:
            person.wait_until_calm()
        self._check("labels after everything was killed", self._use.assert_kept)
        self._check("models after everything was killed", lambda: assert_models_are_whole(self._ground))
        for person in self._use.people:
            person.go_on()

    def _wait_until_it_predicts(self, begin: float) -> None:
        body = self._ground.volume.seg_predict_body(0)
        limit = RECOVERY_LIMIT_S + SLACK_S
        wait_until(lambda: self._use.ask("seg/predict", body), limit, f"a prediction, since {begin:.0f}")

    def _measured(self) -> dict[str, float]:
        """Measure while nobody does anything, and check that nothing is lost."""
        for person in self._use.people:
            person.hold()
        for person in self._use.people:
            person.wait_until_calm()
        self._check("the state", lambda: self._ground.wait_until_idle(30))
        self._check("labels", self._use.assert_kept)
        self._check("models", lambda: assert_models_are_whole(self._ground))
        wait_until(lambda: all(self._ground.server.pid(name) for name in PROGRAMS), 60, "all programs")
        self._exercise()
        found = measure(self._ground)
        for person in self._use.people:
            person.go_on()
        return found

    def _exercise(self) -> None:
        """Have each program do what takes the most memory: one that was started just now is measured alike."""
        for client in (self._ground.volume, self._ground.plane):
            for path, body in self._ground.bodies(client).items():
                if path not in ("state/process", "dataset/generate", "seg/update", "seg/train", "seg/reset"):
                    self._use.ask(path, body)
            spots = client.annotated(5, client.movie.drawn(5))
            self._use.ask("seg/train", client.seg_train_body(spots, n_crops=1, log_dir="soak"))

    def _check(self, what: str, check: object) -> None:
        try:
            check()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding, and the run goes on
            self._records.problem(f"{what}: {type(error).__name__}: {error}"[:500])

    def _report(self, before: dict[str, float], after: dict[str, float]) -> None:
        self._records.problems += growth(before, after)
        counts = self._records.counts
        results = ("done", "aborted", "refused", "cut off", "hung", "wrong")
        print(f"\n{'asked':<18}" + "".join(f"{result:>9}" for result in results))
        for what in sorted({what for what, _ in counts}):
            print(f"{what:<18}" + "".join(f"{counts[what, result]:>9}" for result in results))
        print(f"\n{'killed':<32}{'times':>6}{'longest recovery, s':>22}")
        for name in sorted({name for name, _ in self.kills}):
            times = [seconds for killed, seconds in self.kills if killed == name]
            print(f"{name:<32}{len(times):>6}{max(times):>22.1f}")
        print(f"\n{'measured':<32}{'warm':>10}{'end':>10}")
        for name in sorted(before.keys() | after.keys()):
            print(f"{name:<32}{before.get(name, 0):>10.0f}{after.get(name, 0):>10.0f}")
        print(f"\n{sum(ledger.n_acknowledged for ledger in self._use.ledgers)} label updates acknowledged")
        problems = list(dict.fromkeys(self._records.problems))
        print("\n".join(f"PROBLEM  {text}" for text in problems) or "nothing lost, nothing hung, nothing grew")


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="elephant-soak-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        server = RunningServer.start(folder, settings_of(folder) | MODEST)
        try:
            ground = Ground.prepared(server.wait_until_serving(), folder)
            held = Soak(ground, 60 * options.minutes, options.seed).run()
        finally:
            server.stop()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
