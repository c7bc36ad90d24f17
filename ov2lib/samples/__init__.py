"""Conversations about media: the schema of a sample, readers of the formats that others use, and a cache of visual tokens."""
