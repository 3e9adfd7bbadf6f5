SELECT `m`.`customer_id` AS `entity_key`, `m`.`email` AS `email`, r1.a1 AS `spend_90d`, coalesce(r1.a2, 0) AS `orders_90d`
FROM `customers` AS `m` LEFT OUTER JOIN (SELECT `e`.`customer_id` AS `k`, CAST(round(sum(`e`.`amount`), 2) AS NUMERIC(38, 2)) AS `a1`, count(*) AS `a2`
FROM `purchases` AS `e`
WHERE `e`.`customer_id` IS NOT NULL AND `e`.`purchased_at` > toDateTime64(%s, 6, 'UTC') AND `e`.`purchased_at` <= toDateTime64(%s, 6, 'UTC') GROUP BY `e`.`customer_id`) AS `r1` ON `r1`.`k` = `m`.`customer_id`
WHERE r1.k IS NOT NULL SETTINGS join_use_nulls = 1, cast_keep_nullable = 1
-- parameter 1: datetime.datetime(2023, 12, 11, 12, 0)
-- parameter 2: datetime.datetime(2024, 3, 10, 12, 0)
