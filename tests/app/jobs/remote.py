"""A store as a worker's process uses it, with both ends of the pipes in one process."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from elephant_server.embedded.channel import Answers, Questions
from elephant_server.embedded.workers import BLOCKING
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.store_remote import RemoteStore, StoreSteps


@contextmanager
def remote_store(store: MemoryStore) -> Iterator[RemoteStore]:
    """Give the store of another process, as it would be."""
    (questions_end, ask), (answers_end, answer) = os.pipe(), os.pipe()
    questions = Questions(os.fdopen(answers_end, "rb"), os.fdopen(ask, "wb"))
    answers = Answers(os.fdopen(questions_end, "rb"), os.fdopen(answer, "wb"), StoreSteps(store).steps(), BLOCKING)
    listening = threading.Thread(target=questions.listen, args=(lambda: None,))
    serving = threading.Thread(target=answers.serve)
    listening.start()
    serving.start()
    try:
        yield RemoteStore(questions.ask)
    finally:
        questions.close()
        serving.join()
        answers.close()
        listening.join()
