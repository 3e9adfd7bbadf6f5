SELECT m.customer_id AS entity_key, m.email AS email, m."Full Name" AS "Full Name"
FROM customers m
WHERE m.country IN (:1, :2) AND m.name LIKE '%' || :3 || '%' ESCAPE '/' AND m.born NOT BETWEEN TO_DATE(:4, 'YYYY-MM-DD') AND TO_DATE(:5, 'YYYY-MM-DD') AND m.balance > :6 AND m.signed_up > TO_TIMESTAMP_TZ(:7, 'YYYY-MM-DD"T"HH24:MI:SS.FF6TZH:TZM') AND m.signed_up <= TO_TIMESTAMP_TZ(:8, 'YYYY-MM-DD"T"HH24:MI:SS.FF6TZH:TZM') AND (m.subscribed = :9 OR m.email IS NULL)
-- parameter 1: 'US'
-- parameter 2: 'CA'
-- parameter 3: '100/%/_'
-- parameter 4: datetime.date(1980, 1, 1)
-- parameter 5: datetime.date(1989, 12, 31)
-- parameter 6: Decimal('9.99')
-- parameter 7: datetime.datetime(2024, 2, 9, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 8: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 9: True
