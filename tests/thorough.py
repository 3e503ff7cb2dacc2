"""Whether all is played that tests can play.

``make test`` leaves out what repeats a behaviour in another combination, such as the same story on another kind of
server; ``make test-all`` and ``make test-client`` do not.
"""

import os

PLAYS_ALL = os.environ.get("ELEPHANT_TEST_ALL") == "1"
