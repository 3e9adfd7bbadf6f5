WITH zsync_matching AS
(SELECT m.customer_id AS c0, m.email AS c1, r1.a1 AS c2, r1.a1 AS o
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS NUMERIC(38, 2)) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > $1 AND e.purchased_at <= $2 GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE r1.k IS NOT NULL AND CASE WHEN (m.signed_up > $3 AND m.signed_up <= $4) THEN 1 ELSE 0 END = 0),
zsync_first AS
(SELECT zsync_matching.c0 AS k
FROM zsync_matching
WHERE zsync_matching.c0 IS NOT NULL GROUP BY zsync_matching.c0 ORDER BY CASE WHEN (max(zsync_matching.o) IS NULL) THEN 1 ELSE 0 END, max(zsync_matching.o) DESC, zsync_matching.c0
 LIMIT $5)
 SELECT zsync_matching.c0 AS entity_key, zsync_matching.c1 AS email, zsync_matching.c2 AS spend_90d
FROM zsync_matching
WHERE zsync_matching.c0 IN (SELECT zsync_first.k
FROM zsync_first)
-- parameter 1: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: datetime.datetime(2024, 2, 25, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 4: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 5: 500
