"""The mini model: what it learns, how it is examined, and the longer runs whose results are committed in results/."""
