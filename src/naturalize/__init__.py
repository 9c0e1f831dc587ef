"""naturalize: Neural Architecture Transfer (Lu et al., TPAMI 2021) as a library and a command line tool."""

__version__ = "0.1.0"
