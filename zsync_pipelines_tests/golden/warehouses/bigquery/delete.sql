-- the first run makes the tables

CREATE TABLE `crm`.`zsync_receipts` (`idempotency_key` STRING PRIMARY KEY NOT ENFORCED NOT NULL, `sync_id` STRING NOT NULL, `run_id` STRING NOT NULL, `number` INT64 NOT NULL, `op` STRING NOT NULL, `rows` INT64 NOT NULL, `receipt` STRING NOT NULL, `at` DATETIME NOT NULL);
CREATE TABLE `crm`.`zsync_adopted` (`target_table` STRING NOT NULL, `sync_id` STRING NOT NULL, `entity_key` STRING NOT NULL, PRIMARY KEY (`target_table`, `sync_id`, `entity_key`) NOT ENFORCED);
DELETE FROM `crm`.`zsync_receipts` WHERE `at` < ?;
CREATE TABLE `crm`.`contacts` (`id` STRING PRIMARY KEY NOT ENFORCED NOT NULL, `email` STRING, `spent` BIGNUMERIC, `rate` FLOAT64, `orders` INT64, `vip` BOOL, `born` DATE, `seen` TIMESTAMP, `local` DATETIME);

-- members are added

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k STRING, c0 STRING, c1 BIGNUMERIC, c2 FLOAT64, c3 INT64, c4 BOOL, c5 DATE, c6 TIMESTAMP, c7 DATETIME, entity_key STRING, maybe_there BOOL) OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY));
BEGIN TRANSACTION;
SELECT s.entity_key FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there;
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- a row of a stranger's is met

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k STRING, c0 STRING, c1 BIGNUMERIC, c2 FLOAT64, c3 INT64, c4 BOOL, c5 DATE, c6 TIMESTAMP, c7 DATETIME, entity_key STRING, maybe_there BOOL) OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY));
BEGIN TRANSACTION;
SELECT s.entity_key FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there;
MERGE INTO `crm`.`zsync_staged_f7f1961a249cd106` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there) AS x ON t.entity_key = x.k WHEN MATCHED THEN DELETE;
SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- a row of a stranger's is adopted

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k STRING, c0 STRING, c1 BIGNUMERIC, c2 FLOAT64, c3 INT64, c4 BOOL, c5 DATE, c6 TIMESTAMP, c7 DATETIME, entity_key STRING, maybe_there BOOL) OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY));
BEGIN TRANSACTION;
INSERT INTO `crm`.`zsync_adopted` SELECT ?, ?, s.entity_key FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there AND NOT EXISTS (SELECT 1 FROM `crm`.`zsync_adopted` AS a WHERE a.`target_table` = ? AND a.`sync_id` = ? AND a.`entity_key` = s.entity_key);
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`zsync_adopted` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE NOT EXISTS (SELECT 1 FROM `crm`.`contacts` AS t WHERE t.`id` = s.k)) AS x ON t.`entity_key` = x.k AND `target_table` = ? AND `sync_id` = ? WHEN MATCHED THEN DELETE;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- members are updated

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k STRING, c0 STRING, c1 BIGNUMERIC, c2 FLOAT64, c3 INT64, c4 BOOL, c5 DATE, c6 TIMESTAMP, c7 DATETIME, entity_key STRING, maybe_there BOOL) OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY));
BEGIN TRANSACTION;
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`zsync_adopted` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE NOT EXISTS (SELECT 1 FROM `crm`.`contacts` AS t WHERE t.`id` = s.k)) AS x ON t.`entity_key` = x.k AND `target_table` = ? AND `sync_id` = ? WHEN MATCHED THEN DELETE;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- members are removed, but for adopted rows

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k STRING, entity_key STRING, maybe_there BOOL) OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY));
BEGIN TRANSACTION;
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`contacts` AS t USING (SELECT s.k AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE NOT EXISTS (SELECT 1 FROM `crm`.`zsync_adopted` AS a WHERE a.`target_table` = ? AND a.`sync_id` = ? AND a.`entity_key` = s.entity_key)) AS x ON t.`id` = x.k WHEN MATCHED THEN DELETE;
MERGE INTO `crm`.`zsync_adopted` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE 1 = 1) AS x ON t.`entity_key` = x.k AND `target_table` = ? AND `sync_id` = ? WHEN MATCHED THEN DELETE;
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;
