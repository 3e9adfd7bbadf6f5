"""Membership, diff, plan, guard and next snapshot: pure steps on frames, one hash range at a time."""
