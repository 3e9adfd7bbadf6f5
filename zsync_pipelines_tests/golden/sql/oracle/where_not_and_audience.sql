SELECT m.customer_id AS entity_key, r1.a1 AS mean_weight, l1.a1 AS last_shop
FROM customers m LEFT OUTER JOIN (SELECT e.customer_id AS k, CASE WHEN avg(CAST(e.weight AS BINARY_DOUBLE)) IS NAN OR avg(CAST(e.weight AS BINARY_DOUBLE)) IS INFINITE THEN avg(CAST(e.weight AS BINARY_DOUBLE)) ELSE CAST(round(avg(CAST(e.weight AS BINARY_DOUBLE)), 1) AS BINARY_DOUBLE) END AS a1
FROM purchases e
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= TO_TIMESTAMP(:1, 'YYYY-MM-DD"T"HH24:MI:SS.FF6') GROUP BY e.customer_id) r1 ON r1.k = m.customer_id LEFT OUTER JOIN (SELECT e.customer_id AS k
FROM purchases e
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= TO_TIMESTAMP(:2, 'YYYY-MM-DD"T"HH24:MI:SS.FF6') AND e.shop LIKE :3 || '%' ESCAPE '/' GROUP BY e.customer_id) r2 ON r2.k = m.customer_id LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS NUMERIC(38, 2)) AS a1
FROM purchases e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > TO_TIMESTAMP(:4, 'YYYY-MM-DD"T"HH24:MI:SS.FF6') AND e.purchased_at <= TO_TIMESTAMP(:5, 'YYYY-MM-DD"T"HH24:MI:SS.FF6') GROUP BY e.customer_id) r3 ON r3.k = m.customer_id LEFT OUTER JOIN (SELECT e.customer_id AS k, max(e.shop) AS a1
FROM purchases e JOIN (SELECT e.customer_id AS k, max(e.purchased_at) AS t
FROM purchases e
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= TO_TIMESTAMP(:6, 'YYYY-MM-DD"T"HH24:MI:SS.FF6') GROUP BY e.customer_id) l1_ends ON l1_ends.k = e.customer_id AND l1_ends.t = e.purchased_at
WHERE e.customer_id IS NOT NULL AND e.purchased_at <= TO_TIMESTAMP(:7, 'YYYY-MM-DD"T"HH24:MI:SS.FF6') GROUP BY e.customer_id) l1 ON l1.k = m.customer_id
WHERE r2.k IS NULL AND CASE WHEN (r3.a1 >= :8) THEN 1 ELSE 0 END = 1 AND CASE WHEN (m.country = :9) THEN 1 ELSE 0 END = 0
-- parameter 1: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: 'out'
-- parameter 4: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 5: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 6: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 7: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 8: 500
-- parameter 9: 'DE'
