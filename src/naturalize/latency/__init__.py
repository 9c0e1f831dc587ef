"""Latency of networks on this machine: a clock that a busy neighbour does not mislead, and a model for the search.

The search asks for the latency of thousands of architectures, so it goes by a model: the time of every layer of the
layer table, from measured whole networks (as the look-up tables of Once-for-All, Cai et al., ICLR 2020, but with each
layer timed inside networks of its kind). The front is measured for real.
"""
