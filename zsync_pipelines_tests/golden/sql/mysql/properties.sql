SELECT m.customer_id AS entity_key, m.email AS email, m.`Full Name` AS `Full Name`
FROM customers AS m
WHERE CONVERT(m.country USING utf8mb4) COLLATE utf8mb4_0900_bin IN (%s, %s) AND CONVERT(m.name USING utf8mb4) COLLATE utf8mb4_0900_bin LIKE concat('%%', %s, '%%') ESCAPE '/' AND m.born NOT BETWEEN %s AND %s AND m.balance > %s AND m.signed_up > %s AND m.signed_up <= %s AND ((m.subscribed != 0) = %s OR m.email IS NULL)
-- parameter 1: 'US'
-- parameter 2: 'CA'
-- parameter 3: '100/%/_'
-- parameter 4: datetime.date(1980, 1, 1)
-- parameter 5: datetime.date(1989, 12, 31)
-- parameter 6: Decimal('9.99')
-- parameter 7: datetime.datetime(2024, 2, 9, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 8: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 9: True
