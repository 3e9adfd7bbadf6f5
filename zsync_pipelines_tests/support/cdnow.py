"""Five audiences of growing difficulty over the CDNOW purchases, each with the same question written by hand in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import duckdb

CONFIG = """
sources: {shop: {url: "${SHOP_URL}"}}
models:
  customers:
    source: shop
    table: customers
    entity_key: customer_id
    events: {purchases: {table: purchases, foreign_key: customer_id, timestamp: purchased_on}}
    traits:
      spend: {event: purchases, aggregate: sum, column: amount, within_days: 365, decimals: 2}
audiences:
  basket_buyers:
    model: customers
    filter_tree:
      condition_type: event
      event: purchases
      operator: at_least
      value: 2
      within_days: 180
      where:
        type: and
        children:
          - {condition_type: property, column: cds, operator: greater_than_or_equal, value: 2}
          - {condition_type: property, column: amount, operator: greater_than, value: 24.99}
  lapsed:
    model: customers
    filter_tree:
      type: and
      children:
        - {condition_type: event, event: purchases, operator: at_least, value: 1}
        - type: not
          children: [{condition_type: event, event: purchases, operator: at_least, value: 1, within_days: 120}]
  top_500:
    model: customers
    filter_tree: {condition_type: event, event: purchases, operator: at_least, value: 1, within_days: 365}
    order_by: spend
    limit: 500
  win_back:
    model: customers
    filter_tree:
      type: or
      children:
        - {condition_type: audience, operator: in, audience: top_500}
        - type: and
          children:
            - {condition_type: audience, operator: in, audience: lapsed}
            - {condition_type: property, column: country, operator: equals, value: GB}
    exclude: [basket_buyers]
  campaign:
    model: customers
    filter_tree:
      type: and
      children:
        - {condition_type: audience, operator: not_in, audience: lapsed}
        - {condition_type: property, column: country, operator: in, value: [US, CA]}
    exclude: [top_500]
    order_by: {column: spend, direction: asc}
    limit: 4000
    split:
      - {name: holdout, percent: 10, seed: spring}
      - {name: treatment, percent: 90, seed: spring}
destinations: {crm: {type: sql, config: {url: "${CRM_URL}"}}}
syncs:
  holdout_to_crm:
    audience: campaign_holdout
    destination: crm
    sync_mode: mirror
    field_mapping: [{source_column: spend, destination_field: spend}]
    config: {table: holdout}
  top_to_crm:
    audience: top_500
    destination: crm
    sync_mode: mirror
    field_mapping: [{source_column: spend, destination_field: spend}]
    config: {table: top}
"""

_COMMON = """
WITH basket_buyers AS (
  SELECT customer_id AS id FROM purchases
  WHERE purchased_on BETWEEN $day - 179 AND $day AND cds > 1 AND amount >= 25
  GROUP BY 1 HAVING count(*) >= 2
), latest AS (
  SELECT customer_id AS id, max(purchased_on) AS last_day FROM purchases WHERE purchased_on <= $day GROUP BY 1
), lapsed AS (
  SELECT id FROM latest WHERE last_day <= $day - 120
), yearly AS (
  SELECT customer_id AS id, sum(amount) AS spend FROM purchases
  WHERE purchased_on > $day - 365 AND purchased_on <= $day GROUP BY 1
), top_500 AS (
  SELECT id FROM yearly QUALIFY row_number() OVER (ORDER BY spend DESC, id) <= 500
), win_back AS (
  (SELECT id FROM top_500 UNION
   SELECT customer_id FROM customers SEMI JOIN lapsed ON customer_id = id WHERE country = 'GB')
  EXCEPT SELECT id FROM basket_buyers
), campaign AS (
  SELECT c.customer_id AS id, spend FROM customers c LEFT JOIN yearly ON yearly.id = c.customer_id
  WHERE country IN ('US', 'CA')
    AND NOT EXISTS (FROM lapsed l WHERE l.id = c.customer_id) AND NOT EXISTS (FROM top_500 t WHERE t.id = c.customer_id)
  QUALIFY row_number() OVER (ORDER BY spend ASC NULLS LAST, c.customer_id) <= 4000
), digests AS (
  SELECT id, ('0x' || left(md5('spring:' || id), 8))::BIGINT / 4294967296.0 AS share FROM campaign
), campaign_holdout AS (
  SELECT id FROM digests WHERE share < 0.1
), campaign_treatment AS (
  SELECT id FROM digests WHERE share >= 0.1
)
"""
AUDIENCES = ("basket_buyers", "lapsed", "top_500", "win_back", "campaign", "campaign_holdout", "campaign_treatment")
DAYS = (date(1997, 3, 31), date(1997, 9, 28), date(1998, 6, 30))


def by_hand(shop: Path, audience: str, day: date) -> set[int]:
    """The members of an audience at the start of a day, as the SQL above has them."""
    with duckdb.connect(str(shop), read_only=True) as connection:
        rows = connection.execute(f"{_COMMON} SELECT id FROM {audience}", {"day": day}).fetchall()
    found = {key for (key,) in rows}
    assert len(found) == len(rows)
    return found


def spending(shop: Path, day: date) -> Mapping[int, float]:
    """What everybody spent in the year up to a day."""
    with duckdb.connect(str(shop), read_only=True) as connection:
        rows = connection.execute(f"{_COMMON} SELECT id, spend::DOUBLE FROM yearly", {"day": day}).fetchall()
    return dict(rows)
