SELECT m.customer_id AS entity_key, m.email AS email, m.[Full Name] AS [Full Name]
FROM customers AS m
WHERE (m.country + NCHAR(1)) COLLATE Latin1_General_100_BIN2 IN ((? + NCHAR(1)), (? + NCHAR(1))) AND SIGN(CHARINDEX(?, m.name COLLATE Latin1_General_100_BIN2)) = 1 AND m.born NOT BETWEEN CAST(? AS DATE) AND CAST(? AS DATE) AND m.balance > CAST(? AS DECIMAL(38, 2)) AND m.signed_up > CAST(? AS DATETIMEOFFSET(6)) AND m.signed_up <= CAST(? AS DATETIMEOFFSET(6)) AND (m.subscribed = ? OR m.email IS NULL)
-- parameter 1: 'US'
-- parameter 2: 'CA'
-- parameter 3: '100%_'
-- parameter 4: datetime.date(1980, 1, 1)
-- parameter 5: datetime.date(1989, 12, 31)
-- parameter 6: Decimal('9.99')
-- parameter 7: datetime.datetime(2024, 2, 9, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 8: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 9: True
