"""A joint run: one search over several data sets, each with a run and weights of its own (Lu et al., appendix)."""
