"""Tasks by their id, fetched once per round."""

from services.controller.rounds.asking import patiently
from services.controller.rounds.game import Game
from zeroloop.core.tasks import Task


class Sources:
    """The tasks that this round's prompts were made from."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._known: dict[str, Task] = {}

    def remember(self, task: Task) -> None:
        """Keep a task that is at hand anyway."""
        self._known[task.task_id] = task

    async def get(self, task_id: str) -> Task:
        """Return a task of the buffer."""
        if task_id not in self._known:
            stored = await patiently(
                lambda: self._game.buffer.tasks.get(task_id), self._game.patience()
            )
            self.remember(stored.task)
        return self._known[task_id]
