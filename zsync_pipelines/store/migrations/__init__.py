"""Alembic migrations of the control database; they run by themselves when it is opened."""
