"""A corpus of any size to shards of visual tokens: a plan, workers that can be killed at any moment, and what came of it."""
