WITH zsync_first_1 AS
(SELECT m.customer_id AS k
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, round(sum(e.amount), 2) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND strftime('%Y-%m-%d %H:%M:%f', e.purchased_at) > ? AND strftime('%Y-%m-%d %H:%M:%f', e.purchased_at) <= ? GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE r1.k IS NOT NULL AND CASE WHEN (strftime('%Y-%m-%d %H:%M:%fZ', m.signed_up) > ? AND strftime('%Y-%m-%d %H:%M:%fZ', m.signed_up) <= ?) THEN 1 ELSE 0 END = 0 AND m.customer_id IS NOT NULL GROUP BY m.customer_id ORDER BY CASE WHEN (max(r1.a1) IS NULL) THEN 1 ELSE 0 END, max(r1.a1) DESC, m.customer_id
 LIMIT ? OFFSET ?)
 SELECT m.customer_id AS entity_key, m.email AS email, r1.a1 AS spend_90d
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, round(sum(e.amount), 2) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND strftime('%Y-%m-%d %H:%M:%f', e.purchased_at) > ? AND strftime('%Y-%m-%d %H:%M:%f', e.purchased_at) <= ? GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE m.country = ? AND CASE WHEN (m.customer_id IN (SELECT zsync_first_1.k
FROM zsync_first_1)) THEN 1 ELSE 0 END = 0 AND CASE WHEN (m.customer_id IN (SELECT zsync_first_1.k
FROM zsync_first_1) AND m.customer_id IS NOT NULL AND zsync_md5(? || CAST(m.customer_id AS TEXT)) >= ?) THEN 1 ELSE 0 END = 0 AND m.customer_id IS NOT NULL AND zsync_md5(? || CAST(m.customer_id AS TEXT)) < ?
-- parameter 1: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: datetime.datetime(2024, 2, 25, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 4: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 5: 500
-- parameter 6: 0
-- parameter 7: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 8: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 9: 'US'
-- parameter 10: 'spring:'
-- parameter 11: 'e6666666666666666666666666666666'
-- parameter 12: 'others:'
-- parameter 13: '80000000000000000000000000000000'
