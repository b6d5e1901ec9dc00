"""A progress bar by tqdm, with tqdm's habits, where it is installed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

Progress = Optional[Callable[[int, int, str], None]]


@contextmanager
def bar(show: bool | None, title: str, unit: str = "layer") -> Iterator[Progress]:
    """Show a bar: if ``show``; if it is None in notebooks and on terminals; and never without tqdm."""
    if show is False:
        yield None
        return
    try:
        with warnings.catch_warnings():
            # Without ipywidgets the bar is of text, which is fine.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        if show:
            raise
        yield None
        return
    # tqdm knows terminals; a notebook's stderr is none, and shows bars all the same.
    disable = False if show or "ipykernel" in sys.modules else None
    with tqdm(desc=title, unit=unit, leave=False, disable=disable) as shown:
        yield lambda done, total, layer: _update(shown, done, total, layer)


def _update(shown: Any, done: int, total: int, layer: str) -> None:
    shown.total = total
    shown.set_postfix_str(layer, refresh=False)
    shown.update(done - shown.n)
