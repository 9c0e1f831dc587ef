"""Published weights by name: the files that a supernet needs, their addresses and their checksums."""

from __future__ import annotations

from dataclasses import dataclass

HOMES = (
    "https://github.com/han-cai/files/raw/master/ofa/{folder}/{name}",
    "https://raw.githubusercontent.com/han-cai/files/master/ofa/{folder}/{name}",
)


@dataclass(frozen=True)
class Published:
    """A file of weights that its authors published.

    Attributes:
        name: of the file.
        folder: of the home where it is.
        blob: SHA-1 of "blob <size>\\0" and the content, as git names it.
        megabytes: its size, about.
    """

    name: str
    folder: str
    blob: str
    megabytes: int

    @property
    def sources(self) -> tuple[str, ...]:
        """Addresses of the file, to be tried in order."""
        return tuple(home.format(folder=self.folder, name=self.name) for home in HOMES)


MBV3_W10 = Published("ofa_mbv3_d234_e346_k357_w1.0", "ofa_nets", "55d835981d8acd1053657a951b18887a724ddcbf", 31)
MBV3_W12 = Published("ofa_mbv3_d234_e346_k357_w1.2", "ofa_nets", "d75a3613bae216091f61fc4b7df77d49cc82ed32", 42)
PROXYLESS = Published("ofa_proxyless_d234_e346_k357_w1.3", "ofa_nets", "c97035a7a6fe611508f3bb35ffac0ef77262f5e0", 38)

# supernet to the file of each body, by the body's code
FILES: dict[str, dict[int, Published]] = {
    "ofa-mbv3": {0: MBV3_W10, 1: MBV3_W12},
    "ofa-mbv3-w1.0": {0: MBV3_W10},
    "ofa-mbv3-w1.2": {1: MBV3_W12},
    "ofa-proxyless-w1.3": {0: PROXYLESS},
}
# largest networks of a supernet, trained alone, to prepare it from: the supernet, and the file
LARGEST: dict[str, tuple[str, Published]] = {
    "ofa-d4-e6-k7": (
        "ofa-mbv3-w1.0",
        Published("ofa_D4_E6_K7", "ofa_checkpoints", "9c60b31fa5644b9e7bdcf8699c0aee7d158c1ded", 31),
    ),
}
