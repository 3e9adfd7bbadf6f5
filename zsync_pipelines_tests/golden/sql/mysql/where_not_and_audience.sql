SELECT m.customer_id AS entity_key, r1.a1 AS mean_weight, s1.v AS last_shop
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, CASE WHEN abs((CAST(sum(e.weight) AS DOUBLE) / count(e.weight))) < 9007199254740992 THEN CAST(CAST(CAST((CAST(sum(e.weight) AS DOUBLE) / count(e.weight)) AS CHAR) AS DECIMAL(65, 1)) AS DOUBLE) ELSE (CAST(sum(e.weight) AS DOUBLE) / count(e.weight)) END AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= %s GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id LEFT OUTER JOIN (SELECT e.customer_id AS k, count(*) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= %s AND CONVERT(e.shop USING utf8mb4) COLLATE utf8mb4_0900_bin LIKE concat(%s, '%%') ESCAPE '/' GROUP BY e.customer_id) AS r2 ON r2.k = m.customer_id LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS DECIMAL(65, 2)) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > %s AND e.purchased_at <= %s GROUP BY e.customer_id) AS r3 ON r3.k = m.customer_id LEFT OUTER JOIN (SELECT s1_ranked.k AS k, s1_ranked.v AS v
FROM (SELECT e.customer_id AS k, e.shop AS v, row_number() OVER (PARTITION BY e.customer_id ORDER BY e.purchased_at DESC, CASE WHEN (e.shop IS NULL) THEN 1 ELSE 0 END, CONVERT(e.shop USING utf8mb4) COLLATE utf8mb4_0900_bin DESC) AS n
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= %s) AS s1_ranked
WHERE s1_ranked.n = 1) AS s1 ON s1.k = m.customer_id
WHERE coalesce(r2.a1, 0) < %s AND CASE WHEN (r3.a1 >= %s) THEN 1 ELSE 0 END = 1 AND CASE WHEN (CONVERT(m.country USING utf8mb4) COLLATE utf8mb4_0900_bin = %s) THEN 1 ELSE 0 END = 0
-- parameter 1: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: 'out'
-- parameter 4: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 5: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 6: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 7: 1
-- parameter 8: 500
-- parameter 9: 'DE'
