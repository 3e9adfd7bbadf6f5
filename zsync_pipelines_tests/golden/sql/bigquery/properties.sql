SELECT `m`.`customer_id` AS `entity_key`, `m`.`email` AS `email`, `m`.`Full Name` AS `Full Name`
FROM `customers` AS `m`
WHERE `m`.`country` IN (%s, %s) AND (STRPOS(`m`.`name`, %s) > 0) AND `m`.`born` NOT BETWEEN %s AND %s AND `m`.`balance` > %s AND `m`.`signed_up` > %s AND `m`.`signed_up` <= %s AND (`m`.`subscribed` = %s OR `m`.`email` IS NULL)
-- parameter 1: 'US'
-- parameter 2: 'CA'
-- parameter 3: '100%_'
-- parameter 4: datetime.date(1980, 1, 1)
-- parameter 5: datetime.date(1989, 12, 31)
-- parameter 6: Decimal('9.99')
-- parameter 7: datetime.datetime(2024, 2, 9, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 8: datetime.datetime(2024, 3, 10, 12, 0, tzinfo=datetime.timezone.utc)
-- parameter 9: True
