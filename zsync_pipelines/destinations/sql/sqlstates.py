"""What PostgreSQL's error codes say (its manual, appendix A), which Amazon Redshift shares."""

from __future__ import annotations

REASONS = {
    "22001": "too long for the column",
    "22003": "beyond the range of the column's type",
    "22P02": "not a value of the column's type",
    "22007": "not a value of the column's type",
    "22008": "beyond the range of the column's type",
    "22021": "holds a character that the database cannot store",
    "23502": "null in a column that takes none",
    "23503": "violates a foreign key",
    "23505": "violates a unique constraint",
    "23514": "violates a check constraint",
    "23P01": "violates an exclusion constraint",
    "54000": "too long for an index",
    "P0001": "refused by a trigger",
}
"""Why rows were refused, by SQLSTATE."""

ABOUT_ROWS = ("22", "23", "44", "54", "P0")
"""Classes of codes that are about rows."""

TRY_AGAIN = {
    "40001": "the database gave the transaction up in favour of another",
    "40P01": "the database gave the transaction up because of a deadlock",
    "55P03": "a lock was not free in time",
    "57014": "the database cancelled the statement",
}
"""What goes away by itself, by SQLSTATE."""
