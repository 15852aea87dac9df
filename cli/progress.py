"""The progress of a batch: a bar in a terminal, otherwise a plain line every few seconds."""

import time
from collections import deque

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from cli.terminal import messages, say

# The rate covers the last half minute, so that the time for loading models soon drops out of it.
WINDOW_SECONDS = 30.0
LINE_SECONDS = 5.0
# While nothing moves, a line is repeated only after this time.
STALLED_SECONDS = 30.0


class PictureProgress:
    """A context manager. Inside it, call `show` after each step and `note` while the command waits."""

    def __init__(self, total: int, title: str) -> None:
        self.total = total
        self._title = title
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._last_line = time.monotonic()
        self._last_done = 0
        self._note = ""
        console = messages()
        self._has_bar = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("[yellow]{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not self._has_bar,
        )
        self._task = self._bar.add_task(title, total=total, rate="", note="")

    def __enter__(self) -> "PictureProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, sent: int) -> None:
        """`done` of `sent` pictures have finished."""
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        uploaded = f"{sent} uploaded, " if sent < self.total else ""
        if self._has_bar:
            self._bar.update(
                self._task, completed=done, total=self.total, rate=uploaded + self._speed(done), note=self._note
            )
        elif now - self._last_line >= (LINE_SECONDS if done != self._last_done else STALLED_SECONDS):
            self._last_line, self._last_done = now, done
            note = f" ({self._note})" if self._note else ""
            say(f"{self._title}: {uploaded}{done} of {self.total} done, {self._speed(done)}{note}")
        self._note = ""

    def note(self, sentence: str) -> None:
        """Shows why nothing moves now. The next `show` removes the note."""
        self._note = sentence
        if self._has_bar:
            self._bar.update(self._task, note=Text(sentence).plain.replace("[", r"\["))
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._last_line = time.monotonic()
            say(f"{self._title}: {sentence}")

    def _speed(self, done: int) -> str:
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        rate = (after - before) / (last - first) if last > first else 0.0
        if rate == 0:
            return "waiting for the first" if after == 0 else "–/s"
        left = round(max(0, self.total - done) / rate)
        minutes, seconds = divmod(left, 60)
        hours, minutes = divmod(minutes, 60)
        about = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        return f"{rate:.1f}/s, {about} left"
