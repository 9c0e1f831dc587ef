"""Fixtures of the export tests."""

from collections.abc import Iterator

import pytest
import torch
from small_networks import make_supernet, network_of

from naturalize.exporting import Network
from naturalize.supernet import Supernet, make_family


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads when tests share processors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def supernet() -> Supernet:
    return make_supernet(make_family("mini", 32))


@pytest.fixture(scope="session")
def networks(supernet: Supernet) -> tuple[Network, Network]:
    """The smallest and the largest network of the space."""
    space = supernet.family.space
    smallest, largest = space.architectures(space.corners())
    return network_of(supernet, smallest), network_of(supernet, largest)


@pytest.fixture
def small(networks: tuple[Network, Network]) -> Network:
    return networks[0]


@pytest.fixture
def large(networks: tuple[Network, Network]) -> Network:
    return networks[1]
