"""Threads of linear algebra."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """A context with linear algebra in one thread: small matrices gain nothing from more, and lose on a busy machine.

    Measured, a fit of the RBF ensemble to 100 rows on 2 cores: no difference when all is quiet, 1 s against 6 to 19 s
    when it is not.
    """
    return thread_pools().limit(limits=1, user_api="blas")


@cache
def thread_pools() -> ThreadpoolController:
    """The process's thread pools; looking for them takes 0.1 s, so it is done once."""
    return ThreadpoolController()
