"""syncd: a two-way sync daemon between HighLevel opportunities and a table."""

__version__ = "0.1.0"
