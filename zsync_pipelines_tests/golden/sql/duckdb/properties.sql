SELECT m.customer_id AS entity_key, m.email AS email, m."Full Name" AS "Full Name"
FROM customers AS m
WHERE m.country IN ($1, $2) AND contains(m.name, $3) AND m.born NOT BETWEEN $4 AND $5 AND m.balance > $6 AND m.signed_up > $7 AND m.signed_up <= $8 AND (m.subscribed = $9 OR m.email IS NULL)
-- parameter 1: 'US'
-- parameter 2: 'CA'
-- parameter 3: '100%_'
-- parameter 4: datetime.date(1980, 1, 1)
-- parameter 5: datetime.date(1989, 12, 31)
-- parameter 6: Decimal('9.99')
-- parameter 7: datetime.datetime(2024, 2, 9, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 8: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 9: True
