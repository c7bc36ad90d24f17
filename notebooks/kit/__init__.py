"""What only the notebooks use: drawing, the mini world, its school, studies and the audit. It imports ov2lib, never the other
way round, and is not installed: it belongs to the clone.
"""
