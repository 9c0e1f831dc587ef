"""What a user does with a finished run."""

from commands import Finished


def test_transfer_prints_the_front_and_what_to_do_next(finished: Finished) -> None:
    lines = finished.done.lines
    assert lines[0].split() == ["architecture", "px", "MAdds", "params", "val", "error", "test", "error"]
    assert len(lines) == 1 + len(finished.front["networks"]) + 2
