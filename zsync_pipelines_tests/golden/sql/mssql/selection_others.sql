WITH zsync_first_1 AS
(SELECT anon_1.k AS k
FROM (SELECT m.customer_id AS k, ROW_NUMBER() OVER (ORDER BY CASE WHEN (max(r1.a1) IS NULL) THEN 1 ELSE 0 END, max(r1.a1) DESC, m.customer_id) AS mssql_rn
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS NUMERIC(38, 2)) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > CAST(? AS DATETIME2(6)) AND e.purchased_at <= CAST(? AS DATETIME2(6)) GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE r1.k IS NOT NULL AND CASE WHEN (m.signed_up > CAST(? AS DATETIMEOFFSET(6)) AND m.signed_up <= CAST(? AS DATETIMEOFFSET(6))) THEN 1 ELSE 0 END = 0 AND m.customer_id IS NOT NULL GROUP BY m.customer_id) AS anon_1
WHERE mssql_rn <= ?)
 SELECT m.customer_id AS entity_key, m.email AS email, r1.a1 AS spend_90d
FROM customers AS m LEFT OUTER JOIN (SELECT e.customer_id AS k, CAST(sum(e.amount) AS NUMERIC(38, 2)) AS a1
FROM purchases AS e
WHERE e.customer_id IS NOT NULL AND e.purchased_at > CAST(? AS DATETIME2(6)) AND e.purchased_at <= CAST(? AS DATETIME2(6)) GROUP BY e.customer_id) AS r1 ON r1.k = m.customer_id
WHERE (m.country + NCHAR(1)) COLLATE Latin1_General_100_BIN2 = (? + NCHAR(1)) AND CASE WHEN (m.customer_id IN (SELECT zsync_first_1.k
FROM zsync_first_1)) THEN 1 ELSE 0 END = 0 AND CASE WHEN (m.customer_id IN (SELECT zsync_first_1.k
FROM zsync_first_1) AND m.customer_id IS NOT NULL AND (LOWER(CONVERT(VARCHAR(32), HASHBYTES('MD5', CAST((? + CAST(m.customer_id AS NVARCHAR(4000))) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(8000))), 2)) + NCHAR(1)) COLLATE Latin1_General_100_BIN2 >= (? + NCHAR(1))) THEN 1 ELSE 0 END = 0
-- parameter 1: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: datetime.datetime(2024, 2, 25, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 4: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 5: 500
-- parameter 6: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 7: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 8: 'US'
-- parameter 9: 'spring:'
-- parameter 10: 'e6666666666666666666666666666666'
