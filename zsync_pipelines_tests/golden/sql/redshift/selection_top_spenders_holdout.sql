WITH zsync_first_1 AS
(SELECT m.customer_id AS k
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS NUMERIC(38, 2)) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > %s AND e.purchased_at <= %s GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE r1.k IS NOT NULL AND CASE WHEN (m.signed_up > %s AND m.signed_up <= %s) THEN 1 ELSE 0 END = 0 AND m.customer_id IS NOT NULL GROUP BY m.customer_id ORDER BY CASE WHEN (max(r1.a1) IS NULL) THEN 1 ELSE 0 END, max(r1.a1) DESC, m.customer_id
 LIMIT %s)
 SELECT m.customer_id AS entity_key, m.email AS email, r1.a1 AS spend_90d
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS NUMERIC(38, 2)) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > %s AND e.purchased_at <= %s GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE m.customer_id IN (SELECT zsync_first_1.k
FROM zsync_first_1) AND m.customer_id IS NOT NULL AND (md5(%s || CAST(m.customer_id AS TEXT)) || CHR(1)) >= (%s || CHR(1))
-- parameter 1: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: datetime.datetime(2024, 2, 25, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 4: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 5: 500
-- parameter 6: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 7: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 8: 'spring:'
-- parameter 9: 'e6666666666666666666666666666666'
