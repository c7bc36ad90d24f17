"""Measurements of the codec front ends that no user of the library needs."""
