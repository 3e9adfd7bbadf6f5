SELECT `m`.`customer_id` AS `entity_key`, r1.a1 AS `mean_weight`, l1.a1 AS `last_shop`
FROM `customers` AS `m` LEFT OUTER JOIN (SELECT `e`.`customer_id` AS `k`, round(avg(CAST(`e`.`weight` AS FLOAT64)), 1) AS `a1`
FROM `purchases` AS `e`
WHERE `e`.`customer_id` IS NOT NULL AND `e`.`purchased_at` <= %s GROUP BY `e`.`customer_id`) AS `r1` ON `r1`.`k` = `m`.`customer_id` LEFT OUTER JOIN (SELECT `e`.`customer_id` AS `k`
FROM `purchases` AS `e`
WHERE `e`.`customer_id` IS NOT NULL AND `e`.`purchased_at` <= %s AND STARTS_WITH(`e`.`shop`, %s) GROUP BY `e`.`customer_id`) AS `r2` ON `r2`.`k` = `m`.`customer_id` LEFT OUTER JOIN (SELECT `e`.`customer_id` AS `k`, ROUND(sum(`e`.`amount`), 2) AS `a1`
FROM `purchases` AS `e`
WHERE `e`.`customer_id` IS NOT NULL AND `e`.`purchased_at` > %s AND `e`.`purchased_at` <= %s GROUP BY `e`.`customer_id`) AS `r3` ON `r3`.`k` = `m`.`customer_id` LEFT OUTER JOIN (SELECT `e`.`customer_id` AS `k`, max(`e`.`shop`) AS `a1`
FROM `purchases` AS `e` JOIN (SELECT `e`.`customer_id` AS `k`, max(`e`.`purchased_at`) AS `t`
FROM `purchases` AS `e`
WHERE `e`.`customer_id` IS NOT NULL AND `e`.`purchased_at` <= %s GROUP BY `e`.`customer_id`) AS `l1_ends` ON `l1_ends`.`k` = `e`.`customer_id` AND `l1_ends`.`t` = `e`.`purchased_at`
WHERE `e`.`customer_id` IS NOT NULL AND `e`.`purchased_at` <= %s GROUP BY `e`.`customer_id`) AS `l1` ON `l1`.`k` = `m`.`customer_id`
WHERE r2.k IS NULL AND CASE WHEN (r3.a1 >= %s) THEN 1 ELSE 0 END = 1 AND CASE WHEN (`m`.`country` = %s) THEN 1 ELSE 0 END = 0
-- parameter 1: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 3: 'out'
-- parameter 4: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 5: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 6: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 7: datetime.datetime(2024, 3, 10, 12, 0)
-- parameter 8: 500
-- parameter 9: 'DE'
