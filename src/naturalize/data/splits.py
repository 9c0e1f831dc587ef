"""Cutting a validation or test part from pictures that came without one."""

from collections.abc import Collection, Hashable, Sequence

from naturalize.rng import generator


def cut(
    labels: Sequence[str],
    contents: Sequence[Hashable],
    shares: Sequence[float],
    seed: int,
    stay: Collection[Hashable] = (),
) -> list[list[int]]:
    """Parts cut from n pictures, class by class.

    Copies of one picture (equal content) go together; one that stands under two labels is not cut. A class gives at
    least one picture to every part, as far as that leaves it one more for the next parts and for what is not cut: with
    three distinct pictures two parts get one each, with two only the last part does, with one none.

    Args:
        labels: class name of each picture.
        contents: content hash of each.
        shares: of each class's pictures, for each part.
        seed: of the draws, which depend on the class's name and the order of its pictures, not on other classes.
        stay: contents that must not be cut.

    Returns:
        For each share, the sorted positions of its part.
    """
    copies: dict[Hashable, list[int]] = {}
    for position, content in enumerate(contents):
        copies.setdefault(content, []).append(position)
    by_class: dict[str, list[list[int]]] = {}
    for content, group in copies.items():
        name = labels[group[0]]
        if content not in stay and all(labels[position] == name for position in group):
            by_class.setdefault(name, []).append(group)
    parts: list[list[int]] = [[] for _ in shares]
    for name, groups in by_class.items():
        size = sum(map(len, groups))
        left = [groups[position] for position in generator(seed, f"split {name}").permutation(len(groups)).tolist()]
        for index, share in enumerate(shares):
            parts[index] += _take(left, max(1, round(share * size)), keep=len(shares) - index)
    return [sorted(part) for part in parts]


def _take(groups: list[list[int]], wanted: int, keep: int) -> list[int]:
    """Removes groups from the list, the first that fit into `wanted` pictures and at least one, and leaves `keep`."""
    taken: list[int] = []
    passed: list[list[int]] = []
    for position, group in enumerate(groups):
        if len(groups) - position + len(passed) <= keep or len(taken) >= wanted:
            passed += groups[position:]
            break
        if not taken or len(taken) + len(group) <= wanted:
            taken += group
        else:
            passed.append(group)
    groups[:] = passed
    return taken
