"""The paper's experiments, on truths that need no GPU and on runs of one's own: see `studies`."""
