"""Databases that are read through their SQLAlchemy dialects: one module each, with its types and its own SQL.

A module is imported when a source needs it; what it registers is about its own dialect only.
"""
